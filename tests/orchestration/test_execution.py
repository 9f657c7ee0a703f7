"""The engine on the real database: intents, retries, sleeps, compensation, cancelling."""

import datetime as dt
from contextlib import contextmanager

import pytest

from apps.crm import selectors as crm_selectors
from apps.crm import services as crm
from apps.events.models import OutboxEvent
from apps.orchestration import selectors, services
from apps.orchestration.contracts import RunStatus
from apps.orchestration.definitions import services as definitions
from apps.orchestration.definitions.selectors import get_definition
from apps.orchestration.engine.journal import Journal
from apps.tenants.context import in_tenant
from tests.orchestration.engine import (
    CALL,
    assert_history_is_whole,
    calls,
    expire,
    kinds,
    paths,
    show,
    start,
    states,
    undo,
)

pytestmark = pytest.mark.usefixtures("no_hints", "closed_breakers")


def test_each_effect_gets_an_intent_first_and_a_key_of_its_own(acme, sink, publish) -> None:
    publish(acme, calls(sink, "a", "b"))
    run_id = start(acme)
    assert services.execute_run(tenant=acme, run_id=run_id)
    assert show(acme, run_id).status is RunStatus.COMPLETED
    assert kinds(acme, run_id) == [
        "run_started", "step_intended", "step_completed", "step_intended", "step_completed", "run_ended",
    ]  # fmt: skip
    assert len(set(sink.keys)) == 2
    assert_history_is_whole(acme, run_id)
    assert not services.execute_run(tenant=acme, run_id=run_id), "an ended run cannot be claimed"


def test_a_failed_attempt_is_repeated_with_the_same_key(acme, sink, publish) -> None:
    sink.answer = lambda path, number: 503 if number < 3 else 200
    publish(acme, calls(sink, "a", attempts=3))
    run_id = start(acme)
    services.execute_run(tenant=acme, run_id=run_id)
    assert show(acme, run_id).steps[0].attempts == 3
    assert list(sink.counts().values()) == [3]


def test_a_refused_request_is_not_repeated(acme, sink, publish) -> None:
    sink.answer = lambda path, number: 422
    publish(acme, calls(sink, "a", attempts=3))
    run_id = start(acme)
    services.execute_run(tenant=acme, run_id=run_id)
    run = show(acme, run_id)
    assert (run.status, len(sink.requests)) == (RunStatus.FAILED, 1)
    assert "answered 422" in run.error


def test_a_long_retry_sleeps_in_the_table_and_not_in_a_thread(acme, sink, publish) -> None:
    sink.answer = lambda path, number: 503 if number < 2 else 200
    publish(acme, calls(sink, "a", delay=3600))
    run_id = start(acme)
    services.execute_run(tenant=acme, run_id=run_id)
    asleep = show(acme, run_id)
    assert asleep.status is RunStatus.RUNNING
    left = asleep.due_at - dt.datetime.now(dt.UTC)
    assert dt.timedelta(minutes=4) < left <= dt.timedelta(minutes=5, seconds=5), (
        "the longest delay by default"
    )
    assert not services.execute_run(tenant=acme, run_id=run_id), "nobody may wake it early"
    expire(acme, run_id)
    services.execute_run(tenant=acme, run_id=run_id)
    assert (show(acme, run_id).status, len(sink.requests)) == (RunStatus.COMPLETED, 2)


def test_what_was_done_is_undone_in_reverse_when_a_later_step_fails(acme, sink, publish) -> None:
    sink.answer = lambda path, number: 422 if path == "/d" else 200
    publish(acme, calls(sink, "a", "b", "c", "d"), undo(sink, "a", "c", "d"))
    run_id = start(acme)
    services.execute_run(tenant=acme, run_id=run_id)
    assert show(acme, run_id).status is RunStatus.COMPENSATED
    assert paths(sink) == ["a", "b", "c", "d", "undo-c", "undo-a"]
    assert states(acme, run_id) == {"a": "undone", "b": "done", "c": "undone", "d": "failed"}
    assert len(set(sink.keys)) == 6, "an undoing never has its step's key"
    assert_history_is_whole(acme, run_id)


def test_a_compensation_that_fails_is_visible_and_goes_on_after_a_retry(acme, sink, publish) -> None:
    broken = True
    sink.answer = lambda path, number: 422 if path == "/c" or (path == "/undo-b" and broken) else 200
    publish(acme, calls(sink, "a", "b", "c"), undo(sink, "a", "b"))
    run_id = start(acme)
    services.execute_run(tenant=acme, run_id=run_id)
    run = show(acme, run_id)
    assert run.status is RunStatus.COMPENSATION_FAILED
    assert states(acme, run_id) == {"a": "done", "b": "stuck", "c": "failed"}
    assert run.steps[1].undo["error"]
    broken = False
    services.retry_run(tenant=acme, run_id=run_id)
    services.execute_run(tenant=acme, run_id=run_id)
    assert show(acme, run_id).status is RunStatus.COMPENSATED
    assert paths(sink) == ["a", "b", "c", "undo-b", "undo-b", "undo-a"]
    assert sink.keys[3] == sink.keys[4]


def test_a_failed_run_without_compensation_goes_on_from_its_failed_step(acme, sink, publish) -> None:
    broken = True
    sink.answer = lambda path, number: 422 if path == "/b" and broken else 200
    publish(acme, calls(sink, "a", "b", "c"))
    run_id = start(acme)
    services.execute_run(tenant=acme, run_id=run_id)
    assert show(acme, run_id).status is RunStatus.FAILED
    broken = False
    services.retry_run(tenant=acme, run_id=run_id)
    services.execute_run(tenant=acme, run_id=run_id)
    assert show(acme, run_id).status is RunStatus.COMPLETED
    assert paths(sink) == ["a", "b", "b", "c"]


def test_the_cancellation_whose_later_step_fails_is_undone(acme, sink) -> None:
    crm.create_order(tenant=acme, number="1042", total_cents=4200, customer_email="ann@example.com")
    sink.answer = lambda path, number: 409
    run_id = start(acme, "order_cancellation", order_number="1042", warehouse_url=f"{sink.url}/notices")
    services.execute_run(tenant=acme, run_id=run_id)
    run = show(acme, run_id)
    assert run.status is RunStatus.COMPENSATED
    assert states(acme, run_id) == {
        "hold_order": "undone", "notify_warehouse": "failed", "cancel_order": "skipped",
    }  # fmt: skip
    assert crm_selectors.find_order(tenant=acme, number="1042").status == "placed"
    assert sink.requests[0]["body"] == {
        "event": "order.cancelled", "order_number": "1042", "reason": "asked for by the customer",
    }  # fmt: skip


def test_the_cancellation_that_the_warehouse_accepts_is_done(acme, sink) -> None:
    crm.create_order(tenant=acme, number="1042", total_cents=4200, customer_email="ann@example.com")
    definitions.update_tool_setting(
        tenant=acme, tool="http_request", config={"warehouse_url": f"{sink.url}/notices"}
    )
    run_id = start(acme, "order_cancellation", order_number="1042")
    services.execute_run(tenant=acme, run_id=run_id)
    assert show(acme, run_id).status is RunStatus.COMPLETED
    assert crm_selectors.find_order(tenant=acme, number="1042").status == "cancelled"
    with in_tenant(acme):
        told = list(OutboxEvent.objects.filter(envelope__run_id=str(run_id)).values_list("type", flat=True))
    assert told.count("agent.step.completed") == 3
    assert told.count("agent.run.completed") == told.count("agent.run.started") == 1
    assert told.count("billing.usage.recorded") == 1


def test_a_run_is_cancelled_between_two_steps_and_undone(acme, sink, publish) -> None:
    publish(acme, calls(sink, "a", "b", "c"), undo(sink, "a"))
    run_id = start(acme)
    sink.on_request = lambda: len(sink.requests) == 2 and cancel_from_elsewhere(acme, run_id)
    services.execute_run(tenant=acme, run_id=run_id)
    assert show(acme, run_id).status is RunStatus.CANCELLED
    assert paths(sink) == ["a", "b", "undo-a"]
    assert states(acme, run_id) == {"a": "undone", "b": "done", "c": "skipped"}


def cancel_from_elsewhere(tenant, run_id):
    """The sink answers on a thread of its own, which has no part in the test's transaction."""
    CANCELLED.append((tenant, run_id))


CANCELLED: list = []


@pytest.fixture(autouse=True)
def _cancel_when_asked(monkeypatch):
    CANCELLED.clear()
    commit = Journal.commit

    @contextmanager
    def cancel_and_commit(self, **changes):
        while CANCELLED:
            tenant, run_id = CANCELLED.pop()
            services.cancel_run(tenant=tenant, run_id=run_id)
        with commit(self, **changes) as fields:
            yield fields

    monkeypatch.setattr(Journal, "commit", cancel_and_commit)


def test_a_sleeping_run_is_cancelled_at_once(acme, sink, publish) -> None:
    sink.answer = lambda path, number: 503
    publish(acme, calls(sink, "a", delay=3600))
    run_id = start(acme)
    services.execute_run(tenant=acme, run_id=run_id)
    assert services.cancel_run(tenant=acme, run_id=run_id).is_cancelling
    assert services.execute_run(tenant=acme, run_id=run_id), "it is due now"
    assert show(acme, run_id).status is RunStatus.CANCELLED


def test_a_run_keeps_the_version_it_began_with(acme, sink, publish) -> None:
    first = publish(acme, calls(sink, "a"))
    run_id = start(acme)
    second = publish(acme, calls(sink, "z"))
    assert first.hash != second.hash
    services.execute_run(tenant=acme, run_id=run_id)
    assert paths(sink) == ["a"]
    assert get_definition(tenant=acme, digest=show(acme, run_id).hash).steps[0].id == "a"


def test_every_evaluated_condition_is_on_record(acme, sink, publish) -> None:
    steps = CALL.format(id="a", url=sink.url, attempts=1, delay=0)
    steps += "\n    condition: \"text == 'go' AND channel != 'x'\""
    publish(acme, steps)
    for text, kind, result in (("go", "step_intended", True), ("stop", "step_skipped", False)):
        run_id = start(acme, text=text)
        services.execute_run(tenant=acme, run_id=run_id)
        events = selectors.list_run_events(tenant=acme, run_id=run_id)
        recorded = next(event.data["condition"] for event in events if event.kind == kind)
        assert (recorded["inputs"], recorded["result"]) == ({"text": text, "channel": "api"}, result)
