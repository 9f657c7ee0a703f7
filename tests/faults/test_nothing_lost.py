"""Kill the worker, wipe Valkey, lose NATS amid many runs: nothing is lost, nothing happens twice."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from apps.billing.models import UsageBucket, UsageEvent
from apps.conversations.models import Message
from apps.events.models import OutboxEvent
from apps.ingestion.services import add_document, process_document
from apps.orchestration.models import AgentRun
from apps.tenants.context import in_platform, in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.services import create_api_key
from tests.live import LiveDatabase
from tests.product import Product, running, wait_for

pytestmark = pytest.mark.fault
RUNS = 200
QUESTION = "How long do I have to return a lamp?"
ARTICLE = "You may return a lamp within 30 days of delivery. Returns are free of charge."
ENDED = {"completed", "failed", "compensated", "compensation_failed", "cancelled"}


def test_200_runs_survive_a_killed_worker_a_wiped_valkey_and_a_lost_nats(
    live_db: LiveDatabase, acme: TenantRef, globex: TenantRef, tmp_path: Path
):
    tokens = {tenant: make_ready(tenant) for tenant in (acme, globex)}
    with running(live_db, tmp_path, "web", "worker", "background") as product:
        for number, tenant in enumerate((acme, globex) * 2):
            ask(product, tokens[tenant], number * RUNS // 4, RUNS // 4)
            [kill_worker, wipe_valkey, lose_nats, lambda _: None][number](product)
        for tenant in (acme, globex):
            wait_for(lambda t=tenant: all_ended(t, RUNS // 2), f"the runs of {tenant.slug} end")
        wait_for(nothing_waits, "the outbox is empty")
        for tenant in (acme, globex):
            wait_for(lambda t=tenant: usage(t)["run"] == RUNS // 2, "every run is counted")
            assert_once(tenant)


def make_ready(tenant: TenantRef) -> str:
    document = add_document(tenant=tenant, title="Returns", text=ARTICLE)
    process_document(tenant=tenant, document_id=document.id)
    return create_api_key(tenant=tenant, name="fault", scopes=["api:write"]).token


def ask(product: Product, token: str, first: int, count: int) -> None:
    with product.client(token) as client, ThreadPoolExecutor(4) as threads:

        def send(number: int) -> int:
            body = {
                "channel": "api",
                "customer": {"external_id": f"c{number}"},
                "message": {"text": QUESTION, "client_message_id": f"m{number}"},
            }
            return client.post("/api/v1/conversations", json=body).status_code

        assert set(threads.map(send, range(first, first + count))) == {201}


def kill_worker(product: Product) -> None:
    product.kill("worker")
    product.start("worker")


def wipe_valkey(product: Product) -> None:
    with redis.Redis.from_url(product.valkey.url) as client:
        client.flushall()


def lose_nats(product: Product) -> None:
    product.wipe_nats()


def all_ended(tenant: TenantRef, count: int) -> bool:
    with in_tenant(tenant):
        return AgentRun.objects.filter(status__in=ENDED).count() == count


def nothing_waits() -> bool:
    with in_platform() as alias:
        return not OutboxEvent.objects.using(alias).filter(published_at=None).exists()


def usage(tenant: TenantRef) -> Counter[str]:
    totals: Counter[str] = Counter()
    with in_tenant(tenant):
        for kind, quantity in UsageBucket.objects.values_list("kind", "quantity"):
            totals[kind] += int(quantity)
    return totals


def assert_once(tenant: TenantRef) -> None:
    with in_tenant(tenant):
        assert Counter(AgentRun.objects.values_list("status", flat=True)) == {"completed": RUNS // 2}
        replies = Counter(Message.objects.filter(author="ai").values_list("conversation_id", flat=True))
        assert len(replies) == RUNS // 2
        assert set(replies.values()) == {1}, "a customer was answered twice"
        events = Counter(UsageEvent.objects.values_list("kind", flat=True))
        assert events["run"] == events["message"] == RUNS // 2
        told = OutboxEvent.objects.filter(type="billing.usage.recorded").count()
        assert UsageEvent.objects.count() == told, "a usage event is missing or was counted twice"
    assert usage(tenant)["message"] == RUNS // 2
