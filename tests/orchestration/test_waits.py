"""Runs wait for a time, a signal or an approval: asleep in their table, and woken by nothing else."""

import datetime as dt
import threading
import time

import pytest
from django.db import connections

from apps.orchestration import mailbox, services
from apps.orchestration.contracts import RunStatus
from apps.orchestration.definitions.durations import duration_s
from apps.orchestration.definitions.language.compiler import find_problems
from apps.orchestration.engine import waits
from apps.orchestration.models import AgentRun, RunSignal
from apps.resilience.errors import ConflictError, InvalidInput, NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import Role
from apps.tenants.selectors import list_audit_events
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
    states,
    undo,
)
from tests.orchestration.test_api import client_of
from tests.pages import log_in

pytestmark = pytest.mark.usefixtures("no_hints", "valkey", "closed_breakers")
WAIT = """
  - id: "hold_on"
    type: "wait"
    config: {{{config}}}"""


def asleep(tenant, publish, config, before="", after="", rest=""):
    publish(tenant, before + WAIT.format(config=config) + after, rest)
    run_id = start(tenant)
    services.execute_run(tenant=tenant, run_id=run_id)
    assert show(tenant, run_id).status is RunStatus.SLEEPING
    return run_id


def go_on(tenant, run_id):
    services.execute_run(tenant=tenant, run_id=run_id)
    return show(tenant, run_id)


def output(tenant, run_id):
    return next(step.output for step in show(tenant, run_id).steps if step.id == "hold_on")


def row(tenant, run_id):
    with in_tenant(tenant):
        return AgentRun.objects.get(id=run_id)


def test_a_time_is_slept_through_without_a_lease(acme, sink, publish) -> None:
    run_id = asleep(acme, publish, "for: 1s", after=calls(sink, "after"))
    sleeping = row(acme, run_id)
    assert (sleeping.lease_owner, sleeping.claims) == ("", 0)
    assert not services.execute_run(tenant=acme, run_id=run_id), "nobody can claim it before its time"
    expire(acme, run_id)
    assert go_on(acme, run_id).status is RunStatus.SLEEPING, "woken too early it sleeps on"
    assert abs(row(acme, run_id).due_at - sleeping.due_at) < dt.timedelta(seconds=0.5)
    time.sleep(1.1)
    assert go_on(acme, run_id).status is RunStatus.COMPLETED
    assert output(acme, run_id)["timed_out"] is False
    assert paths(sink) == ["after"]
    assert_history_is_whole(acme, run_id)


def test_a_signal_wakes_its_run_and_is_read_by_the_next_step(acme, sink, publish) -> None:
    after = """
  - id: "tell"
    type: "tool"
    tool: "generic_response"
    config: {text: "Paid ${steps.hold_on.payload.amount}"}"""
    run_id = asleep(acme, publish, "signal: paid", after=after)
    mailbox.send_signal(tenant=acme, run_id=run_id, name="paid", payload={"amount": "12"}, actor="shop")
    run = go_on(acme, run_id)
    assert run.status is RunStatus.COMPLETED
    assert run.steps[-1].output == {"text": "Paid 12"}
    assert (output(acme, run_id)["by"], output(acme, run_id)["timed_out"]) == ("shop", False)
    with pytest.raises(ConflictError, match="ended"):
        mailbox.send_signal(tenant=acme, run_id=run_id, name="paid")


def test_a_signal_that_comes_early_is_kept(acme, sink, publish) -> None:
    publish(acme, calls(sink, "first") + WAIT.format(config="signal: paid"))
    run_id = start(acme)
    for number in (1, 2):
        mailbox.send_signal(tenant=acme, run_id=run_id, name="paid", payload={"number": number})
    assert go_on(acme, run_id).status is RunStatus.COMPLETED
    assert output(acme, run_id)["payload"] == {"number": 1}, "the oldest first"
    with in_tenant(acme):
        assert RunSignal.objects.filter(run_id=run_id, taken_at=None).count() == 1


def test_nobody_sends_what_the_workflow_does_not_wait_for(acme, globex, publish) -> None:
    run_id = asleep(acme, publish, "signal: paid")
    with pytest.raises(InvalidInput, match="paid"):
        mailbox.send_signal(tenant=acme, run_id=run_id, name="payed")
    with pytest.raises(NotFoundError):
        mailbox.send_signal(tenant=globex, run_id=run_id, name="paid")
    assert go_on(acme, run_id).status is RunStatus.SLEEPING


def test_what_never_comes_times_out(acme, publish) -> None:
    run_id = asleep(acme, publish, "signal: paid, timeout: 0.1s")
    time.sleep(0.2)
    assert go_on(acme, run_id).status is RunStatus.COMPLETED
    assert output(acme, run_id) == {
        "timed_out": True, "approved": False, "by": "", "comment": "", "payload": {},
    }  # fmt: skip


@pytest.mark.parametrize("is_approved", [True, False])
def test_a_person_approves_or_declines(acme, sink, publish, is_approved) -> None:
    condition = '\n    condition: "steps.hold_on.approved"'
    run_id = asleep(acme, publish, 'approval: "Refund 12?"', after=calls(sink, "refund") + condition)
    assert show(acme, run_id).steps[0].awaited == {"kind": "approval", "what": "Refund 12?", "until": None}
    given = {"tenant": acme, "run_id": run_id, "is_approved": is_approved, "actor": "ann@acme.example"}
    with pytest.raises(ConflictError, match="does not ask"):
        mailbox.answer_approval(step_id="refund", **given)
    mailbox.answer_approval(step_id="hold_on", comment="As agreed", **given)
    with pytest.raises(ConflictError, match="answered already"):
        mailbox.answer_approval(step_id="hold_on", **given)
    assert go_on(acme, run_id).status is RunStatus.COMPLETED
    assert paths(sink) == (["refund"] if is_approved else [])
    told = output(acme, run_id)
    assert (told["approved"], told["by"], told["comment"]) == (is_approved, "ann@acme.example", "As agreed")
    act = list_audit_events(tenant=acme)[0]
    assert (act.action, act.data["step"]) == ("run.approve" if is_approved else "run.decline", "hold_on")


def test_who_sleeps_can_be_cancelled_and_is_undone(acme, sink, publish) -> None:
    run_id = asleep(acme, publish, "signal: paid", before=calls(sink, "a"), rest=undo(sink, "a"))
    services.cancel_run(tenant=acme, run_id=run_id)
    assert go_on(acme, run_id).status is RunStatus.CANCELLED
    assert paths(sink) == ["a", "undo-a"]
    assert states(acme, run_id) == {"a": "undone", "hold_on": "skipped"}
    assert "cancel_requested" in kinds(acme, run_id)


@pytest.mark.parametrize("passes", range(4))
@pytest.mark.parametrize("point", ["claim", "intent"])
def test_who_dies_while_waiting_takes_each_signal_once(
    acme, sink, publish, monkeypatch, point, passes
) -> None:
    publish(acme, calls(sink, "a") + WAIT.format(config="signal: paid") + calls(sink, "b"))
    run_id = start(acme)
    with dying_at(monkeypatch, point, passes):
        for _ in range(3):
            try:
                services.execute_run(tenant=acme, run_id=run_id)
            except Crash:
                expire(acme, run_id)
            if show(acme, run_id).status is RunStatus.SLEEPING and not _signals(acme, run_id):
                mailbox.send_signal(tenant=acme, run_id=run_id, name="paid", payload={"n": 1})
    for _ in range(3):
        expire(acme, run_id)
        services.execute_run(tenant=acme, run_id=run_id)
        if show(acme, run_id).status is RunStatus.SLEEPING and not _signals(acme, run_id):
            mailbox.send_signal(tenant=acme, run_id=run_id, name="paid", payload={"n": 1})
    assert show(acme, run_id).status is RunStatus.COMPLETED
    assert len(set(sink.keys)) == 2
    assert [signal.taken_at is not None for signal in _signals(acme, run_id)] == [True]
    assert_history_is_whole(acme, run_id)


def _signals(tenant, run_id):
    with in_tenant(tenant):
        return list(RunSignal.objects.filter(run_id=run_id))


def test_a_signal_that_meets_the_falling_asleep_is_not_lost(live_db, acme, publish, monkeypatch) -> None:
    publish(acme, WAIT.format(config="signal: paid"))
    run_id = start(acme)
    sender = threading.Thread(target=_send_from_elsewhere, args=(acme, run_id))
    look = waits._oldest_signal

    def look_then_send(*args):
        found = look(*args)
        if not sender.ident:
            sender.start()
            time.sleep(0.3)  # it waits for the lock of the run by now
            assert sender.is_alive()
        return found

    monkeypatch.setattr(waits, "_oldest_signal", look_then_send)
    services.execute_run(tenant=acme, run_id=run_id)
    sender.join(10)
    assert show(acme, run_id).status is RunStatus.SLEEPING
    assert go_on(acme, run_id).status is RunStatus.COMPLETED, "it was woken"


def _send_from_elsewhere(tenant, run_id):
    try:
        mailbox.send_signal(tenant=tenant, run_id=run_id, name="paid")
    finally:
        connections.close_all()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("", "one thing"),
        ("for: 1h, signal: paid", "one thing"),
        ("for: soon", "not a valid name"),
        ("for: 400d", "longer than a year"),
        ("for: 1h, timeout: 2h", "over after its time"),
        ("signal: Paid", "not a valid name"),
        ("seconds: 3", "not known here"),
    ],
)
def test_what_a_wait_cannot_mean_is_refused_at_its_line(config, message) -> None:
    source = f'name: "w"\nversion: "1"\nsteps:{WAIT.format(config=config)}'
    problems = find_problems(source)
    assert any(message in problem.message for problem in problems), problems
    assert all(problem.line >= 4 and problem.fix for problem in problems)


def test_lengths_of_time() -> None:
    assert [duration_s(text) for text in ("30s", "15m", "2h", "1.5d")] == [30, 900, 7200, 129_600]
    for wrong in ("", "h", "1", "-1s", "1w", "9999d", "1 h"):
        with pytest.raises(ValueError, match=r"duration|year"):
            duration_s(wrong)


def test_over_the_api(acme, globex, publish) -> None:
    run_id = asleep(acme, publish, 'approval: "Refund?", timeout: 1d')
    api, json = client_of(acme), {"content_type": "application/json"}
    url = f"/api/v1/runs/{run_id}"
    shown = api.get(url).json()
    assert (shown["status"], shown["steps"][0]["state"]) == ("sleeping", "waiting")
    assert shown["steps"][0]["awaited"]["what"] == "Refund?"
    assert shown["steps"][0]["awaited"]["until"] <= shown["due_at"]
    yes = {"step": "hold_on", "approved": True}
    assert client_of(globex).post(f"{url}/approve", yes, **json).status_code == 404
    assert client_of(acme, "api:read").post(f"{url}/approve", {}, **json).status_code == 403
    assert api.post(f"{url}/approve", {"step": "hold_on"}, **json).status_code == 400
    assert api.post(f"{url}/signal", {"name": "paid"}, **json).status_code == 400
    big = {"name": "paid", "payload": {"text": "x" * 70_000}}
    assert api.post(f"{url}/signal", big, **json).status_code == 400
    assert api.post(f"{url}/approve", yes, **json).status_code == 200
    assert api.post(f"{url}/approve", yes, **json).status_code == 409
    assert go_on(acme, run_id).status is RunStatus.COMPLETED


def test_on_the_page(acme, globex, publish) -> None:
    run_id = asleep(acme, publish, 'approval: "Refund?", timeout: 1d')
    url = f"/app/runs/{run_id}/"
    admin = log_in(acme, Role.ADMIN)
    page = admin.get(url).content.decode()
    assert "asks for an approval" in page
    assert "Refund?" in page
    viewer = log_in(acme, Role.VIEWER).get(url).content.decode()
    assert "asks for an approval" in viewer
    assert 'value="approve"' not in viewer
    form = {"step": "hold_on", "answer": "decline", "comment": "No"}
    assert log_in(globex, Role.OWNER).post(f"{url}approve/", form).status_code == 404
    assert admin.post(f"{url}approve/", {**form, "answer": "perhaps"}).status_code == 400
    assert "Declined" in admin.post(f"{url}approve/", form, follow=True).content.decode()
    assert go_on(acme, run_id).status is RunStatus.COMPLETED
    assert output(acme, run_id)["approved"] is False
