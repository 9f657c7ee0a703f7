"""Kill Valkey amid load: no request fails, limits and quotas go on, and all is as before once it is back."""

import re
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from apps.billing.models import Plan
from apps.billing.services import subscribe_tenant
from apps.conversations.models import Message
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.services import create_api_key
from tests.live import LiveDatabase
from tests.product import Product, running, wait_for

pytestmark = pytest.mark.fault
QUOTA = 60


def test_a_killed_valkey_costs_no_answer_and_no_quota(live_db: LiveDatabase, acme: TenantRef, tmp_path: Path):
    facts = {"requests_per_minute": 60_000, "included": {"message": QUOTA}, "has_hard_limits": True}
    Plan.objects.create(code="hard", name="Hard", **facts)
    subscribe_tenant(tenant=acme, plan_code="hard")
    token = create_api_key(tenant=acme, name="fault", scopes=["api:read", "api:write"]).token
    with running(live_db, tmp_path, "web") as product, product.client(token) as client:
        assert client.get("/api/v1/me").status_code == 200
        codes, stop = Counter[int](), threading.Event()
        with ThreadPoolExecutor(4) as threads:
            for _ in range(4):
                threads.submit(_load, client, codes, stop)
            _wait_for_answers(codes, 20)
            product.valkey.kill()
            _wait_for_answers(codes, 60)
            assert _metric(product, "rate_limit_is_local") == 1
            assert _metric(product, "rate_limit_fallback_total") > 0
            assert _metric(product, "quota_fallback_total") > 0
            product.valkey.start()
            wait_for(lambda: _metric(product, "rate_limit_is_local") == 0, "the shared limits are back")
            wait_for(lambda: codes[402] > 10, "the quota is used up")
            stop.set()
        assert set(codes) <= {200, 201, 402}, codes
        with in_tenant(acme):
            assert Message.objects.filter(author="customer").count() == codes[201] == QUOTA


def _load(client: httpx.Client, codes: Counter[int], stop: threading.Event) -> None:
    body = {"channel": "api", "message": {"text": "Hello?"}}
    while not stop.is_set():
        codes[client.post("/api/v1/conversations", json=body).status_code] += 1
        codes[client.get("/api/v1/me").status_code] += 1


def _wait_for_answers(codes: Counter[int], count: int) -> None:
    already = codes.total()
    wait_for(lambda: codes.total() >= already + count, f"{count} more answers")


def _metric(product: Product, name: str) -> float:
    time.sleep(0.05)
    text = httpx.get(f"{product.url}/metrics").text
    return max([float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.M)], default=0.0)
