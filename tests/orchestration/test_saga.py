"""The design's saga, as it is shipped: the happy path, each failing one, and all of it taken back."""

import pytest

from apps.orchestration import services
from apps.orchestration.contracts import RunStatus
from apps.orchestration.steps import registry
from apps.orchestration.steps.context import StepFailed
from apps.orchestration.verifying import verify_runs
from tests.orchestration.engine import assert_history_is_whole, paths, show, start, states

pytestmark = pytest.mark.usefixtures("live_db", "no_hints", "valkey", "closed_breakers")
TEXT = "Where is my order 1042?"


@pytest.fixture
def break_step(monkeypatch):
    """Make a step's action fail for good."""

    def break_step(name):
        load = registry._load.__wrapped__

        def fail(context):
            raise StepFailed("it is broken", is_retryable=False)

        monkeypatch.setattr(registry, "_load", lambda asked: fail if asked == name else load(asked))

    return break_step


def support(tenant, sink):
    run_id = start(tenant, "customer_support_saga", text=TEXT, customers_url=sink.url)
    services.execute_run(tenant=tenant, run_id=run_id)
    assert_history_is_whole(tenant, run_id)
    assert verify_runs(tenant=tenant, run_id=run_id).differences == []
    return run_id


def undone(tenant, run_id):
    return {step.id: step.undo["action"] for step in show(tenant, run_id).steps if step.undo}


def test_all_three_steps_are_done(acme, globex, sink) -> None:
    run_id = support(acme, sink)
    run = show(acme, run_id)
    assert run.status is RunStatus.COMPLETED
    assert run.output["text"]
    assert run.undoable == ["generate_response", "lookup_customer", "classify_intent"]
    assert paths(sink) == ["lock"]


def test_nothing_is_undone_where_nothing_was_done(acme, sink, break_step) -> None:
    break_step(registry.STEP_ACTIONS["router"])
    run_id = support(acme, sink)
    assert show(acme, run_id).status is RunStatus.FAILED
    assert (undone(acme, run_id), paths(sink)) == ({}, [])


def test_a_failing_lookup_leaves_a_note_of_the_classification(acme, sink) -> None:
    sink.answer = lambda path, number: 400
    run_id = support(acme, sink)
    run = show(acme, run_id)
    assert run.status is RunStatus.COMPENSATED
    assert undone(acme, run_id) == {"classify_intent": "log_error"}
    assert run.steps[0].undo["output"] == {"message": "The classification as order_status led to nothing"}
    assert paths(sink) == ["lock"]


def test_a_failing_answer_releases_the_customer_too(acme, sink, break_step) -> None:
    break_step(registry.STEP_ACTIONS["llm"])
    run_id = support(acme, sink)
    assert show(acme, run_id).status is RunStatus.COMPENSATED
    assert undone(acme, run_id) == {"classify_intent": "log_error", "lookup_customer": "http_request"}
    assert paths(sink) == ["lock", "release"]
    assert len(set(sink.keys)) == 2


def test_all_of_it_is_taken_back_on_request(acme, sink) -> None:
    run_id = support(acme, sink)
    services.compensate_run(tenant=acme, run_id=run_id)
    services.execute_run(tenant=acme, run_id=run_id)
    assert show(acme, run_id).status is RunStatus.COMPENSATED
    assert set(states(acme, run_id).values()) == {"undone"}
    assert paths(sink) == ["lock", "release"]


def test_a_customer_that_cannot_be_released_is_seen_and_retried(acme, sink, break_step) -> None:
    break_step(registry.STEP_ACTIONS["llm"])
    sink.answer = lambda path, number: 400 if (path, number) == ("/release", 1) else 200
    run_id = support(acme, sink)
    assert show(acme, run_id).status is RunStatus.COMPENSATION_FAILED
    assert states(acme, run_id)["lookup_customer"] == "stuck"
    services.retry_run(tenant=acme, run_id=run_id)
    services.execute_run(tenant=acme, run_id=run_id)
    assert show(acme, run_id).status is RunStatus.COMPENSATED
    assert undone(acme, run_id) == {"classify_intent": "log_error", "lookup_customer": "http_request"}
