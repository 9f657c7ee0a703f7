"""The engine when its process dies, or is taken for dead: nothing is lost, no effect is repeated."""

import pytest
from django.db.models import F

from apps.crm import selectors as crm_selectors
from apps.crm import services as crm
from apps.orchestration import services
from apps.orchestration.contracts import RunStatus, StepStatus
from apps.orchestration.models import AgentRun
from apps.tenants.context import in_tenant
from tests.orchestration.engine import (
    Crash,
    assert_history_is_whole,
    calls,
    dying_at,
    expire,
    kinds,
    paths,
    show,
    start,
    undo,
)

pytestmark = pytest.mark.usefixtures("no_hints", "closed_breakers")
# Every point at which a process may die, as (what dies, how often it is passed before).
POINTS = [
    ("claim", 0), ("intent", 0), ("effect", 0), ("result", 0), ("intent", 1), ("effect", 1), ("result", 1),
    ("effect", 2), ("intent", 3), ("effect", 3), ("result", 3), ("result", 4), ("end", 0),
]  # fmt: skip


@pytest.mark.parametrize(("point", "passes"), POINTS)
def test_a_crash_at_any_point_loses_nothing_and_repeats_no_effect(
    acme, sink, publish, monkeypatch, point, passes
) -> None:
    sink.answer = lambda path, number: 422 if path == "/c" else 200
    publish(acme, calls(sink, "a", "b", "c"), undo(sink, "a", "b"))
    run_id = start(acme)
    with dying_at(monkeypatch, point, passes), pytest.raises(Crash):
        services.execute_run(tenant=acme, run_id=run_id)
    assert not services.execute_run(tenant=acme, run_id=run_id) or point == "end", "its lease holds"
    for _ in range(3):
        expire(acme, run_id)
        services.execute_run(tenant=acme, run_id=run_id)

    assert show(acme, run_id).status is RunStatus.COMPENSATED
    once = list(dict.fromkeys(paths(sink)))
    assert once == ["a", "b", "c", "undo-b", "undo-a"]
    assert len(sink.counts()) == 5, "a repeated request has the key of the first: the receiver does it once"
    assert len(sink.requests) <= 6, "only what was under way is repeated"
    assert_history_is_whole(acme, run_id)


def test_a_stale_executor_writes_nothing_and_stops_silently(acme, sink, publish) -> None:
    publish(acme, calls(sink, "a", "b"))
    run_id = start(acme)
    claim = services._claim(acme, run_id)
    expire(acme, run_id)
    services.execute_run(tenant=acme, run_id=run_id)
    before = kinds(acme, run_id)
    services.execute_claim(acme, claim, None)
    assert kinds(acme, run_id) == before
    assert len(sink.requests) == 2


def test_an_effect_of_our_own_is_undone_with_the_lost_lease(acme) -> None:
    crm.create_order(tenant=acme, number="1042", total_cents=4200, customer_email="ann@example.com")
    run_id = start(acme, "order_cancellation", order_number="1042")
    claim = services._claim(acme, run_id)
    with in_tenant(acme):
        AgentRun.objects.filter(id=run_id).update(lease_epoch=F("lease_epoch") + 1)
    services.execute_claim(acme, claim, None)
    assert crm_selectors.find_order(tenant=acme, number="1042").status == "placed"
    assert kinds(acme, run_id) == ["run_started"]


def test_a_suspended_executor_begins_no_effect_after_its_lease(acme, sink, publish) -> None:
    publish(acme, calls(sink, "a"))
    run_id = start(acme)
    claim = services._claim(acme, run_id)
    claim.lease.renewed_at -= 16
    services.execute_claim(acme, claim, None)
    assert sink.requests == []


def test_a_run_that_kills_its_workers_is_given_up(acme, sink, publish) -> None:
    publish(acme, calls(sink, "a", "b"), undo(sink, "a"))
    run_id = start(acme)
    with in_tenant(acme):
        AgentRun.objects.filter(id=run_id).update(claims=5)
    services.execute_run(tenant=acme, run_id=run_id)
    run = show(acme, run_id)
    assert (run.status, run.steps[0].state) == (RunStatus.FAILED, StepStatus.FAILED)
    assert "again and again" in run.error
    assert sink.requests == []
