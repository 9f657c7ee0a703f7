"""Documents and runs are held from their acceptance on: never are there more than the plan includes."""

import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from django.db import connections

from apps.billing.adapters import quota_counter as counters
from apps.billing.contracts import QuotaSpent
from apps.billing.models import Plan, QuotaHold
from apps.billing.services import (
    forget_quotas,
    hold_quota,
    quotas,
    release_quota,
    reserving,
    subscribe_tenant,
)
from apps.conversations.services import start_conversation
from apps.events.models import OutboxEvent
from apps.ingestion.contracts import DocumentStatus, UploadedFile
from apps.ingestion.models import Document
from apps.ingestion.services import add_document, delete_document, process_document, reindex_document
from apps.orchestration.erasing import erase_traces
from apps.orchestration.models import AgentRun
from apps.orchestration.services import execute_run, start_run
from apps.tenants.context import in_tenant
from apps.tenants.contracts import Subject
from tests.billing.test_hard_quotas import wipe
from tests.gateway.conftest import key_client
from tests.pages import log_in

LIMIT, WRITERS = 20, 64


@pytest.fixture(autouse=True)
def _fresh_counter():
    counters.quota_counter.cache_clear()
    yield
    counters.quota_counter.cache_clear()


def limit(tenant, *, is_hard: bool = True, **included: int) -> None:
    facts = {"requests_per_minute": 60_000, "included": included, "has_hard_limits": is_hard}
    Plan.objects.update_or_create(code="tiny", defaults={"name": "Tiny", **facts})
    subscribe_tenant(tenant=tenant, plan_code="tiny")
    forget_quotas()


def add(tenant):
    return add_document(tenant=tenant, title=uuid4().hex, text="How we ship: by post.")


def start(tenant):
    return start_run(tenant=tenant, workflow_name="order_cancellation", input={"order_number": "1"})


def count(tenant, model) -> int:
    with in_tenant(tenant):
        return model.objects.count()


def told(tenant, kind: str) -> int:
    with in_tenant(tenant):
        rows = OutboxEvent.objects.filter(tenant_id=tenant.id, type="billing.usage.recorded")
        return sum(row["data"]["kind"] == kind for row in rows.values_list("envelope", flat=True))


def is_refused(act, *arguments) -> bool:
    try:
        act(*arguments)
    except QuotaSpent:
        return True
    return False


@pytest.mark.parametrize("doors", ["reserved", "unreserved", "mixed", "wiped"])
@pytest.mark.parametrize(("kind", "act", "model"), [("document", add, Document), ("run", start, AgentRun)])
def test_64_writers_at_once_overshoot_by_nothing(live_db, acme, globex, kind, act, model, doors):
    limit(acme, **{kind: LIMIT})
    before = count(globex, model)

    def write(number: int) -> bool:
        try:
            if number == WRITERS // 4 and doors == "wiped":
                wipe()
            if doors in ("reserved", "wiped") or (doors == "mixed" and number % 2):
                with reserving(tenant=acme, kind=kind):
                    act(acme)
            else:
                act(acme)
            return True
        except QuotaSpent:
            return False
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(write, range(WRITERS))) == count(acme, model) == LIMIT
    assert count(acme, QuotaHold) == LIMIT
    assert count(globex, model) == before


def test_64_posts_over_the_api_overshoot_by_nothing(live_db, acme, globex, valkey):
    limit(acme, document=LIMIT)
    api = key_client(acme)
    statuses = []

    def post(number: int) -> None:
        body = {"title": f"T{number}", "text": "How we ship: by post."}
        statuses.append(api.post("/api/v1/documents", body, "application/json").status_code)
        connections.close_all()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(post, range(WRITERS)))
    assert sorted(statuses) == [*[202] * LIMIT, *[402] * (WRITERS - LIMIT)]
    assert count(acme, Document) == LIMIT
    assert key_client(globex).post(
        "/api/v1/documents", {"title": "T", "text": "By post."}, "application/json"
    ).status_code == 202  # fmt: skip


def test_a_document_is_told_of_once_and_its_hold_is_gone(live_db, acme):
    limit(acme, document=2)
    first = add(acme)
    assert process_document(tenant=acme, document_id=first.id) is DocumentStatus.READY
    assert (count(acme, QuotaHold), told(acme, "document")) == (0, 1)
    add(acme)
    assert is_refused(add, acme)
    wipe()
    assert is_refused(add, acme), "as the database counts it"


def test_an_ingestion_that_fails_gives_its_place_back(live_db, acme, globex):
    limit(acme, document=1)
    broken = add_document(tenant=acme, title="B", file=UploadedFile("b.pdf", b"no pdf at all"))
    assert is_refused(add, acme)
    assert process_document(tenant=acme, document_id=broken.id) is DocumentStatus.FAILED
    assert (count(acme, QuotaHold), told(acme, "document")) == (0, 0)
    add(acme)
    assert is_refused(reindex_document_of, acme, broken.id)
    with in_tenant(acme):
        assert Document.objects.get(id=broken.id).status == DocumentStatus.FAILED, (
            "refused, nothing is changed"
        )


def reindex_document_of(tenant, document_id) -> None:
    reindex_document(tenant=tenant, document_id=document_id)


def test_a_document_that_is_deleted_before_it_is_read_gives_its_place_back(live_db, acme):
    limit(acme, document=2)
    done, waiting = add(acme), add(acme)
    process_document(tenant=acme, document_id=done.id)
    for document in (done, waiting):
        delete_document(tenant=acme, document_id=document.id)
    add(acme)
    assert is_refused(add, acme), "what was read is used"


def test_reindexing_takes_another_place_and_a_pending_one_none(live_db, acme):
    limit(acme, document=2)
    document = add(acme)
    reindex_document_of(acme, document.id)  # it waits already
    process_document(tenant=acme, document_id=document.id)
    reindex_document_of(acme, document.id)
    assert is_refused(add, acme)
    process_document(tenant=acme, document_id=document.id)
    assert (count(acme, QuotaHold), told(acme, "document")) == (0, 2)


def test_the_same_document_again_takes_no_place(live_db, acme):
    limit(acme, document=1)
    for _ in range(3):
        with reserving(tenant=acme, kind="document") if _ == 0 else in_tenant(acme):
            add_document(tenant=acme, title="Same", text="By post.")
    assert count(acme, QuotaHold) == 1


def test_a_run_is_told_of_at_its_end_and_its_hold_is_gone(live_db, acme):
    limit(acme, run=2)
    run = start(acme)
    execute_run(tenant=acme, run_id=run.id)
    assert (count(acme, QuotaHold), told(acme, "run")) == (0, 1)
    start(acme)
    assert is_refused(start, acme)


def test_a_run_that_is_erased_under_way_gives_its_place_back(live_db, acme, globex):
    limit(acme, run=1)
    run = start(acme)
    with in_tenant(globex):
        erase_traces(tenant=globex, subject=Subject(uuid4(), run_ids=frozenset({run.id})))
    assert is_refused(start, acme)
    with in_tenant(acme):
        erase_traces(tenant=acme, subject=Subject(uuid4(), run_ids=frozenset({run.id})))
    start(acme)
    assert is_refused(start, acme)


def test_a_message_is_never_refused_for_its_run_which_counts_all_the_same(live_db, acme, monkeypatch):
    limit(acme, run=2)
    start(acme)
    for number in range(2):
        begun = start_conversation(tenant=acme, channel="api", text=f"Hello {number}?")
        execute_run(tenant=acme, run_id=begun.received.run_id)
    assert told(acme, "run") == 2
    assert is_refused(start, acme)
    wipe()
    assert is_refused(start, acme)


def test_a_soft_limit_holds_nothing_and_refuses_nothing(live_db, acme, monkeypatch):
    limit(acme, is_hard=False, document=1, run=1)
    monkeypatch.setattr(quotas, "quota_counter", None)
    for _ in range(3):
        process_document(tenant=acme, document_id=add(acme).id)
        start(acme)
    assert count(acme, QuotaHold) == 0


def test_a_hold_is_made_once_and_given_back_once(live_db, acme, globex):
    limit(acme, document=1)
    limit(globex, document=1)
    for _ in range(2):
        hold_quota(tenant=acme, kind="document", source_id="d")
    assert is_refused(lambda: hold_quota(tenant=acme, kind="document", source_id="e"))
    release_quota(tenant=globex, kind="document", source_ids=["d"])
    assert is_refused(lambda: hold_quota(tenant=acme, kind="document", source_id="e")), "another company's"
    for _ in range(2):
        release_quota(tenant=acme, kind="document", source_ids=["d"])
    hold_quota(tenant=acme, kind="document", source_id="e")
    assert is_refused(lambda: hold_quota(tenant=acme, kind="document", source_id="d"))


def test_holds_that_come_and_go_at_once_never_overshoot(live_db, acme):
    limit(acme, document=5)
    most, lock, now = [0], threading.Lock(), set()

    def work(number: int) -> None:
        try:
            with reserving(tenant=acme, kind="document"):
                hold_quota(tenant=acme, kind="document", source_id=str(number))
            with lock:
                now.add(number)
                most[0] = max(most[0], len(now))
                now.discard(number)
            release_quota(tenant=acme, kind="document", source_ids=[number])
        except QuotaSpent:
            pass
        finally:
            connections.close_all()

    with ThreadPoolExecutor(12) as threads:
        list(threads.map(work, range(60)))
    assert most[0] <= 5
    assert count(acme, QuotaHold) == 0
    assert not any(is_refused(add, acme) for _ in range(5))
    assert is_refused(add, acme)


def test_a_page_says_that_the_plan_includes_no_more(live_db, acme, valkey):
    limit(acme, document=0)
    page = log_in(acme).post("/app/knowledge/add/article/", {"title": "Shipping", "text": "By post."})
    assert page.status_code in (402, 422)
    assert "used up" in page.content.decode()
    assert count(acme, Document) == 0
