"""Kill the web process amid deliveries that their senders repeat: each webhook does its work once."""

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from apps.orchestration.hooks.contracts import IssuedSecret
from apps.tenants.contracts import TenantRef
from tests.live import LiveDatabase
from tests.orchestration.hooks import headers, listen, log_of, open_endpoint, runs
from tests.product import PATIENCE_S, Product, running

pytestmark = pytest.mark.fault
DELIVERIES, SENDERS, KILLS = 40, 6, 1


def deliver(product: Product, issued: IssuedSecret, number: int) -> str:
    """Repeat a delivery, as senders do, until it is acknowledged; return the run that it was told."""
    body = json.dumps({"order_number": str(number)}).encode()
    ends_at = time.monotonic() + PATIENCE_S
    while time.monotonic() < ends_at:
        try:
            answer = httpx.post(
                f"{product.url}/hooks/acme/orders",
                content=body,
                headers=headers(issued.secret, body, f"msg_{number}"),
            )
        except httpx.TransportError:
            time.sleep(0.1)
            continue
        if answer.is_success:
            return answer.json()["runs"][0]["id"]
        assert answer.status_code in (429, 503), answer.text
        time.sleep(0.2)
    raise AssertionError(f"delivery {number} was never acknowledged")


def test_deliveries_survive_a_killed_web_process(live_db: LiveDatabase, acme: TenantRef, tmp_path: Path):
    listen(acme)
    issued = open_endpoint(acme, "orders")
    with running(live_db, tmp_path, "web") as product, ThreadPoolExecutor(SENDERS) as senders:
        told = [senders.submit(deliver, product, issued, number) for number in range(DELIVERIES)]
        for turn in range(1, KILLS + 1):
            while sum(one.done() for one in told) < DELIVERIES * turn // (KILLS + 2):
                time.sleep(0.01)
            product.kill("web")
            product.start("web")
        acknowledged = [one.result() for one in told]
    began = {str(run.id): run.input["order_number"] for run in runs(acme)}
    assert Counter(began.values()) == {str(number): 1 for number in range(DELIVERIES)}
    assert [began[run_id] for run_id in acknowledged] == [str(number) for number in range(DELIVERIES)]
    kept = Counter(delivery.status for delivery in log_of(acme))
    assert kept["accepted"] == DELIVERIES
    assert kept["refused"] == 0
