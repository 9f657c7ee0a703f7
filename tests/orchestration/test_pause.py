"""A paused run does nothing until it is resumed: what was under way is recorded, what arrives is kept."""

import datetime as dt

import pytest
from django.db import connections

from apps.orchestration import dispatching, mailbox, services
from apps.orchestration.contracts import RunStatus
from apps.orchestration.models import AgentRun
from apps.orchestration.pausing import pause_run, resume_run
from apps.orchestration.verifying import verify_runs
from apps.resilience.errors import ConflictError, NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.selectors import list_audit_events
from tests.orchestration.engine import (
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
from tests.orchestration.test_api import client_of
from tests.pages import log_in

pytestmark = pytest.mark.usefixtures("live_db", "no_hints", "valkey", "closed_breakers")
ANN = "ann@acme.example"
WAIT = """
  - id: "hold_on"
    type: "wait"
    config: {for: "1s"}"""
SIGNAL = WAIT.replace('for: "1s"', 'signal: "paid"')
APPROVAL = WAIT.replace('for: "1s"', 'approval: "Sure?"')


def execute(tenant, run_id):
    expire(tenant, run_id)
    return services.execute_run(tenant=tenant, run_id=run_id)


def during(sink, path, act):
    """Do something while the call of a step is under way, as another process would."""

    def answer(asked, number):
        try:
            if asked == path:
                act()
        finally:
            connections.close_all()
        return 200

    sink.answer = answer


def pausing_at(sink, tenant, run_id, path):
    during(sink, path, lambda: pause_run(tenant=tenant, run_id=run_id, actor=ANN))


def assert_rests(tenant, run_id):
    assert show(tenant, run_id).status is RunStatus.PAUSED
    with in_tenant(tenant):
        run = AgentRun.objects.get(id=run_id)
    assert (run.due_at, run.lease_owner) == (None, "")
    assert not services.execute_run(tenant=tenant, run_id=run_id)
    assert dispatching.sweep_due_runs(limit=10) == 0


def test_a_run_pauses_before_its_next_step_and_goes_on_once(acme, globex, sink, publish) -> None:
    publish(acme, calls(sink, "a", "b", "c"))
    run_id = start(acme)
    pausing_at(sink, acme, run_id, "/b")
    services.execute_run(tenant=acme, run_id=run_id)
    assert_rests(acme, run_id)
    assert states(acme, run_id) == {"a": "done", "b": "done", "c": "pending"}
    with pytest.raises(ConflictError, match="paused already"):
        pause_run(tenant=acme, run_id=run_id)
    with pytest.raises(NotFoundError):
        resume_run(tenant=globex, run_id=run_id)
    resume_run(tenant=acme, run_id=run_id, actor=ANN, reason="The shop is back")
    with pytest.raises(ConflictError, match="Only a paused run"):
        resume_run(tenant=acme, run_id=run_id)
    services.execute_run(tenant=acme, run_id=run_id)
    assert show(acme, run_id).status is RunStatus.COMPLETED
    assert paths(sink) == ["a", "b", "c"]
    assert kinds(acme, run_id).count("paused") == 1
    assert_history_is_whole(acme, run_id)
    assert verify_runs(tenant=acme).differences == []
    acts = [(e.action, e.data) for e in list_audit_events(tenant=acme) if e.action.startswith("run.")]
    assert acts[:2] == [("run.resume", {"reason": "The shop is back"}), ("run.pause", {})]


def test_a_run_that_nobody_executes_is_paused_at_once_and_begins_nothing(acme, sink, publish) -> None:
    publish(acme, calls(sink, "a"))
    run_id = start(acme)
    assert pause_run(tenant=acme, run_id=run_id).status is RunStatus.PAUSED
    assert_rests(acme, run_id)
    resume_run(tenant=acme, run_id=run_id)
    services.execute_run(tenant=acme, run_id=run_id)
    assert paths(sink) == ["a"]


def test_a_pause_that_is_taken_back_in_time_never_happens(acme, sink, publish) -> None:
    publish(acme, calls(sink, "a", "b"))
    run_id = start(acme)

    def pause_and_resume():
        pause_run(tenant=acme, run_id=run_id)
        resume_run(tenant=acme, run_id=run_id)

    during(sink, "/a", pause_and_resume)
    services.execute_run(tenant=acme, run_id=run_id)
    assert show(acme, run_id).status is RunStatus.COMPLETED
    assert "paused" not in kinds(acme, run_id)


def test_a_pause_outlives_the_worker_that_was_to_heed_it(acme, sink, publish) -> None:
    publish(acme, calls(sink, "a"))
    run_id = start(acme)
    with in_tenant(acme):
        AgentRun.objects.filter(id=run_id).update(lease_owner="a worker that has died")
    assert pause_run(tenant=acme, run_id=run_id).status is RunStatus.RUNNING
    assert show(acme, run_id).is_pausing
    execute(acme, run_id)
    assert_rests(acme, run_id)
    assert paths(sink) == []


def test_what_arrives_meanwhile_is_kept_and_what_ran_out_takes_effect(acme, sink, publish) -> None:
    for steps, arrives in (
        (SIGNAL, lambda run_id: mailbox.send_signal(tenant=acme, run_id=run_id, name="paid")),
        (
            APPROVAL,
            lambda run_id: mailbox.answer_approval(
                tenant=acme, run_id=run_id, step_id="hold_on", is_approved=True
            ),
        ),
    ):
        publish(acme, steps.strip("\n") + calls(sink, "a"))
        run_id = start(acme)
        services.execute_run(tenant=acme, run_id=run_id)
        assert pause_run(tenant=acme, run_id=run_id).status is RunStatus.PAUSED
        arrives(run_id)
        assert_rests(acme, run_id)
        resume_run(tenant=acme, run_id=run_id)
        services.execute_run(tenant=acme, run_id=run_id)
        assert show(acme, run_id).status is RunStatus.COMPLETED
        assert verify_runs(tenant=acme, run_id=run_id).differences == []


def test_a_timer_that_has_not_run_out_is_waited_for_after_the_resume(acme, sink, publish) -> None:
    publish(acme, WAIT.replace("1s", "1h").strip("\n") + calls(sink, "a"))
    run_id = start(acme)
    services.execute_run(tenant=acme, run_id=run_id)
    pause_run(tenant=acme, run_id=run_id)
    resume_run(tenant=acme, run_id=run_id)
    services.execute_run(tenant=acme, run_id=run_id)
    sleeping = show(acme, run_id)
    assert (sleeping.status, paths(sink)) == (RunStatus.SLEEPING, [])
    left = sleeping.due_at - sleeping.steps[0].awaited["until"]
    assert abs(left) < dt.timedelta(seconds=1), "neither shortened nor lengthened"


def test_a_paused_run_is_cancelled_without_a_further_step(acme, sink, publish) -> None:
    publish(acme, calls(sink, "a", "b"), undo(sink, "a"))
    run_id = start(acme)
    pausing_at(sink, acme, run_id, "/a")
    services.execute_run(tenant=acme, run_id=run_id)
    services.cancel_run(tenant=acme, run_id=run_id, actor=ANN)
    services.execute_run(tenant=acme, run_id=run_id)
    assert show(acme, run_id).status is RunStatus.CANCELLED
    assert paths(sink) == ["a", "undo-a"]
    assert verify_runs(tenant=acme, run_id=run_id).differences == []


def test_an_undoing_is_paused_between_two_steps(acme, sink, publish) -> None:
    publish(acme, calls(sink, "a", "b"), undo(sink, "a", "b"))
    run_id = start(acme)
    services.execute_run(tenant=acme, run_id=run_id)
    pausing_at(sink, acme, run_id, "/undo-b")
    services.compensate_run(tenant=acme, run_id=run_id)
    services.execute_run(tenant=acme, run_id=run_id)
    assert_rests(acme, run_id)
    assert states(acme, run_id) == {"a": "done", "b": "undone"}
    resume_run(tenant=acme, run_id=run_id)
    services.execute_run(tenant=acme, run_id=run_id)
    assert show(acme, run_id).status is RunStatus.COMPENSATED
    assert paths(sink)[-2:] == ["undo-b", "undo-a"]


def test_only_a_run_under_way_is_paused(acme, sink, publish) -> None:
    publish(acme, calls(sink, "a"))
    run_id = start(acme)
    services.execute_run(tenant=acme, run_id=run_id)
    with pytest.raises(ConflictError, match="ended already"):
        pause_run(tenant=acme, run_id=run_id)


def test_pausing_over_the_api_and_on_the_page(acme, sink, publish) -> None:
    publish(acme, calls(sink, "a"))
    run_id, client, page = start(acme), client_of(acme), log_in(acme)
    told = client.post(f"/api/v1/runs/{run_id}/pause", {"reason": "Wait"}, content_type="application/json")
    assert (told.status_code, told.json()["status"]) == (200, "paused")
    assert client.get("/api/v1/runs?status=paused").json()["results"][0]["id"] == str(run_id)
    assert client.post(f"/api/v1/runs/{run_id}/pause").status_code == 409
    assert client.post(f"/api/v1/runs/{run_id}/resume").json()["status"] == "running"
    assert f"/app/runs/{run_id}/pause/" in page.get(f"/app/runs/{run_id}/").content.decode()
    assert page.post(f"/app/runs/{run_id}/pause/").status_code == 302
    shown = page.get(f"/app/runs/{run_id}/").content.decode()
    assert f"/app/runs/{run_id}/resume/" in shown
    assert f"/app/runs/{run_id}/pause/" not in shown
    assert page.post(f"/app/runs/{run_id}/resume/").status_code == 302
    assert show(acme, run_id).status is RunStatus.RUNNING
