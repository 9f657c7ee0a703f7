"""Steps that are runs of their own: begun once, awaited asleep, undone in their own order."""

import threading
import time

import pytest
from django.db import connections

from apps.billing.contracts import UsageKind
from apps.conversations.services import start_conversation
from apps.events.models import OutboxEvent
from apps.orchestration import services
from apps.orchestration.contracts import RunStatus
from apps.orchestration.definitions import services as definitions
from apps.orchestration.definitions.errors import InvalidWorkflowSource
from apps.orchestration.definitions.language.compiler import find_problems
from apps.orchestration.definitions.services import save_draft, validate_workflow
from apps.orchestration.engine import children
from apps.orchestration.erasing import erase_traces
from apps.orchestration.models import AgentRun
from apps.resilience.errors import ConflictError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import Role, Subject
from tests.orchestration.engine import (
    Crash,
    calls,
    dying_at,
    expire,
    go_on,
    paths,
    show,
    start,
    states,
    undo,
)
from tests.orchestration.families import PAID, all_runs, assert_verified, child, inner_of, part
from tests.orchestration.test_api import client_of
from tests.pages import log_in

pytestmark = pytest.mark.usefixtures("no_hints", "valkey", "closed_breakers")


@pytest.fixture
def outer(acme, sink, publish):
    """Publish `inner` with two undoable calls, and `w` that runs it between two of its own; starts a w."""

    def begin(more="", inner_steps="", last="d", **given):
        publish(acme, calls(sink, "b", "c") + inner_steps, undo(sink, "b", "c"), name="inner")
        publish(acme, calls(sink, "a") + child(more) + calls(sink, last), undo(sink, "a"))
        return start(acme, **given)

    return begin


def test_a_step_is_a_run_of_its_own_and_nothing_is_occupied_meanwhile(acme, sink, outer) -> None:
    run_id = outer()
    services.execute_run(tenant=acme, run_id=run_id)
    above, below = show(acme, run_id), inner_of(acme, run_id)
    assert (above.status, below.status) == (RunStatus.SLEEPING, RunStatus.RUNNING)
    assert (below.parent_run_id, below.parent_step, below.workflow) == (run_id, "part", "inner")
    with in_tenant(acme):
        sleeping = AgentRun.objects.get(id=run_id)
    assert (sleeping.lease_owner, sleeping.due_at) == ("", None)
    services.execute_run(tenant=acme, run_id=below.id)
    with in_tenant(acme):
        assert AgentRun.objects.get(id=run_id).due_at is not None, "its end woke the run above"
    go_on(acme)
    assert show(acme, run_id).status is RunStatus.COMPLETED
    assert paths(sink) == ["a", "b", "c", "d"]
    assert part(acme, run_id).output["run_id"] == str(below.id)
    assert_verified(acme)


def test_whoever_waits_for_it_executes_both(acme, sink, outer, publish) -> None:
    outer()
    run = services.start_run(tenant=acme, workflow_name="w", input={}, claim_inline=True)
    services.execute_or_await(tenant=acme, run_id=run.id, wait_s=10)
    assert show(acme, run.id).status is RunStatus.COMPLETED
    publish(acme, PAID, name="inner")
    run = services.start_run(tenant=acme, workflow_name="w", input={}, claim_inline=True)
    services.execute_or_await(tenant=acme, run_id=run.id, wait_s=10)
    assert show(acme, run.id).status is RunStatus.SLEEPING, "nobody waits for a signal"


EACH = """
  - id: "each"
    type: "foreach"
    config: {items: "${input.list}"}
    steps: [{id: "part", type: "subworkflow", workflow: "inner", config: {name: "${item}"}}]"""


def test_one_for_each_item_is_undone_in_reverse(acme, sink, publish) -> None:
    named = calls(sink, "b").replace(f"{sink.url}/b", f"{sink.url}/${{input.name}}")
    back = undo(sink, "b").replace("/undo-b", "/undo-${input.name}")
    publish(acme, named, f'inputs: {{name: {{type: "string"}}}}\n{back}', name="inner")
    outputs = 'outputs: {ran: {type: "string", value: "${steps.each.results[1].run_id}"}}'
    publish(acme, EACH, f"inputs: {{list: {{type: list}}}}\n{outputs}")
    run_id = start(acme, list=["x", "y"])
    go_on(acme)
    ended = show(acme, run_id)
    assert ended.status is RunStatus.COMPLETED
    assert ended.output["outputs"]["ran"] == str(ended.steps[-1].child_run_id)
    services.compensate_run(tenant=acme, run_id=run_id)
    go_on(acme)
    assert show(acme, run_id).status is RunStatus.COMPENSATED
    assert paths(sink) == ["x", "y", "undo-y", "undo-x"]
    assert_verified(acme)


BESIDE = """
  - id: "both"
    type: "parallel"
    branches:
      - {id: "one", steps: [{id: "first", type: "subworkflow", workflow: "inner"}]}
      - {id: "two", steps: [{id: "second", type: "subworkflow", workflow: "inner"}]}"""


def test_cancelling_ends_all_that_are_under_way_beside_each_other(acme, sink, publish) -> None:
    publish(acme, calls(sink, "b") + PAID, undo(sink, "b"), name="inner")
    publish(acme, BESIDE)
    run_id = start(acme)
    go_on(acme)
    assert [run.status for run in all_runs(acme)] == ["sleeping"] * 3
    services.cancel_run(tenant=acme, run_id=run_id)
    go_on(acme, rounds=12)
    assert [run.status for run in all_runs(acme)] == ["cancelled"] * 3
    assert sorted(paths(sink)) == ["b", "b", "undo-b", "undo-b"]
    assert_verified(acme)


def test_undoing_is_the_exact_reverse_through_both_runs(acme, sink, outer) -> None:
    run_id = outer()
    go_on(acme)
    services.compensate_run(tenant=acme, run_id=run_id)
    go_on(acme)
    assert show(acme, run_id).status is RunStatus.COMPENSATED
    assert inner_of(acme, run_id).status is RunStatus.COMPENSATED
    assert paths(sink) == ["a", "b", "c", "d", "undo-c", "undo-b", "undo-a"]
    assert_verified(acme)


def test_a_failure_after_it_undoes_it_and_one_within_undoes_what_was_before(acme, sink, outer) -> None:
    sink.answer = lambda path, number: 400 if path == "/d" else 200
    run_id = outer()
    go_on(acme)
    assert show(acme, run_id).status is RunStatus.COMPENSATED
    assert paths(sink) == ["a", "b", "c", "d", "undo-c", "undo-b", "undo-a"]
    sink.requests.clear()
    sink.answer = lambda path, number: 400 if path == "/c" else 200
    failed = start(acme)
    go_on(acme)
    assert show(acme, failed).status is RunStatus.COMPENSATED
    assert part(acme, failed).error.startswith("its run is compensated")
    assert paths(sink) == ["a", "b", "c", "undo-b", "undo-a"]
    assert_verified(acme)


def test_only_where_it_is_asked_a_failed_one_is_run_anew(acme, sink, outer) -> None:
    sink.answer = lambda path, number: 400 if path == "/c" and paths(sink).count("c") < 2 else 200
    run_id = outer("retry: {max_attempts: 2, initial_delay_s: 0.01}")
    go_on(acme)
    assert show(acme, run_id).status is RunStatus.COMPLETED
    assert paths(sink) == ["a", "b", "c", "undo-b", "b", "c", "d"]
    assert [run.status for run in all_runs(acme)] == ["completed", "compensated", "completed"]
    assert_verified(acme)


def test_what_cannot_be_undone_within_is_stuck_above_until_it_is_retried(acme, sink, outer) -> None:
    sink.answer = lambda path, number: 400 if path in ("/d", "/undo-b") else 200
    run_id = outer()
    go_on(acme)
    assert show(acme, run_id).status is RunStatus.COMPENSATION_FAILED
    assert states(acme, run_id) == {"a": "done", "part": "stuck", "d": "failed"}
    assert inner_of(acme, run_id).status is RunStatus.COMPENSATION_FAILED
    sink.answer = lambda path, number: 200
    services.retry_run(tenant=acme, run_id=run_id)
    go_on(acme)
    assert show(acme, run_id).status is RunStatus.COMPENSATED
    assert paths(sink)[-3:] == ["undo-b", "undo-b", "undo-a"]
    assert_verified(acme)


def test_one_that_could_not_undo_itself_holds_what_was_before_it(acme, sink, outer) -> None:
    sink.answer = lambda path, number: 400 if path in ("/c", "/undo-b") else 200
    run_id = outer("retry: {max_attempts: 3}")
    go_on(acme)
    assert show(acme, run_id).status is RunStatus.COMPENSATION_FAILED
    assert states(acme, run_id) == {"a": "done", "part": "stuck", "d": "skipped"}
    assert "undo-a" not in paths(sink)
    below = inner_of(acme, run_id)
    services.settle_undo(tenant=acme, run_id=below.id, step_id="b", actor="ann")
    go_on(acme)
    services.retry_run(tenant=acme, run_id=run_id)
    go_on(acme)
    assert show(acme, run_id).status is RunStatus.COMPENSATED
    assert paths(sink)[-1] == "undo-a"
    assert_verified(acme)


def test_cancelling_cancels_the_run_below_and_waits_for_it(acme, sink, outer) -> None:
    run_id = outer(inner_steps=PAID)
    go_on(acme)
    services.cancel_run(tenant=acme, run_id=run_id)
    services.execute_run(tenant=acme, run_id=run_id)
    assert show(acme, run_id).status is RunStatus.COMPENSATING, "it waits for what is below"
    go_on(acme)
    assert show(acme, run_id).status is RunStatus.CANCELLED
    assert inner_of(acme, run_id).status is RunStatus.CANCELLED
    assert paths(sink) == ["a", "b", "c", "undo-c", "undo-b", "undo-a"]
    assert_verified(acme)


def test_one_that_takes_too_long_is_cancelled_and_fails_its_step(acme, sink, outer) -> None:
    run_id = outer('timeout: "0.1s"', inner_steps=PAID)
    go_on(acme)
    time.sleep(0.15)
    go_on(acme)
    assert show(acme, run_id).status is RunStatus.COMPENSATED
    assert part(acme, run_id).error == "its run took longer than 0.1 s"
    assert inner_of(acme, run_id).status is RunStatus.CANCELLED
    assert_verified(acme)


def test_nobody_steers_the_lower_run_past_the_upper_one(acme, sink, outer, publish) -> None:
    run_id = outer()
    sink.answer = lambda path, number: 400 if path == "/b" else 200
    go_on(acme)
    below = inner_of(acme, run_id)
    assert below.status is RunStatus.FAILED
    with pytest.raises(ConflictError, match="step of another"):
        services.retry_run(tenant=acme, run_id=below.id)
    sink.answer = lambda path, number: 200
    publish(acme, child() + PAID)
    second = start(acme)
    go_on(acme)
    assert show(acme, second).status is RunStatus.SLEEPING
    with pytest.raises(ConflictError, match="cancel that one"):
        services.compensate_run(tenant=acme, run_id=inner_of(acme, second).id)


@pytest.mark.parametrize("passes", range(0, 12, 2))
@pytest.mark.parametrize("point", ["claim", "intent", "effect", "end"])
def test_whoever_dies_begins_and_undoes_it_once(acme, sink, outer, monkeypatch, point, passes) -> None:
    sink.answer = lambda path, number: 400 if path == "/d" else 200
    run_id = outer()
    with dying_at(monkeypatch, point, passes):
        for _ in range(4):
            try:
                go_on(acme)
            except Crash:
                for run in all_runs(acme):
                    expire(acme, run.id)
    go_on(acme)
    assert [run.status for run in all_runs(acme)] == ["compensated", "compensated"]
    assert show(acme, run_id).status is RunStatus.COMPENSATED
    assert len(set(sink.keys)) == 7
    first = list(dict.fromkeys(paths(sink)))
    assert first == ["a", "b", "c", "d", "undo-c", "undo-b", "undo-a"]
    assert_verified(acme)


def test_an_end_that_meets_the_falling_asleep_is_not_lost(live_db, acme, sink, outer, monkeypatch) -> None:
    run_id = outer()
    ending: list[threading.Thread] = []
    lock = children._lock

    def lock_while_it_ends(child_id):
        found = lock(child_id)
        if not ending:
            ending.append(threading.Thread(target=_end_elsewhere, args=(acme, found.id)))
            ending[0].start()
            time.sleep(0.5)  # it waits for a row that is locked here by now
        return found

    monkeypatch.setattr(children, "_lock", lock_while_it_ends)
    services.execute_run(tenant=acme, run_id=run_id)
    ending[0].join(10)
    assert [run.status for run in all_runs(acme)] == ["sleeping", "completed"]
    go_on(acme)
    assert show(acme, run_id).status is RunStatus.COMPLETED


def _end_elsewhere(tenant, run_id):
    try:
        for _ in range(50):
            if services.execute_run(tenant=tenant, run_id=run_id):
                return
            time.sleep(0.05)
    finally:
        connections.close_all()


def test_a_message_is_answered_and_paid_for_once(acme, publish) -> None:
    publish(acme, '  - id: "reply"\n    type: "llm"', name="inner")
    rest = 'triggers: [{type: "websocket", event: "message_received"}]'
    publish(acme, child(), rest, name="customer_support_workflow")
    start_conversation(tenant=acme, channel="api", text="Hello there")
    go_on(acme)
    above, below = all_runs(acme)
    assert (above.status, below.status) == ("completed", "completed")
    assert (below.input["text"], below.conversation_id) == ("Hello there", None)
    assert above.output["message_id"]
    assert above.output["text"] == below.output["text"] != ""
    with in_tenant(acme):
        told = OutboxEvent.objects.filter(type="billing.usage.recorded").values_list("envelope", flat=True)
        runs = [row for row in told if row["data"]["kind"] == UsageKind.RUN.value]
    assert [row["run_id"] for row in runs] == [str(above.id)]


def test_what_belongs_to_a_customer_is_forgotten_below_too(acme, outer) -> None:
    run_id = outer()
    go_on(acme)
    subject = Subject(customer_id=run_id, run_ids=frozenset({run_id}))
    with in_tenant(acme):
        erased = erase_traces(tenant=acme, subject=subject)
    assert erased.rows["orchestration.AgentRun"] == 2
    assert all_runs(acme) == []


def test_no_run_leads_back_to_itself_or_too_deep(acme, sink, publish) -> None:
    named = child().replace('"inner"', '"{}"')
    publish(acme, calls(sink, "x"), name="w0")
    for number in range(1, 6):
        publish(acme, named.format(f"w{number - 1}"), name=f"w{number}")
    with pytest.raises(InvalidWorkflowSource, match="deep"):
        publish(acme, named.format("w5"), name="w6")
    # What was published before can still be changed into a circle; the run refuses it.
    publish(acme, calls(sink, "x"), name="w1")
    publish(acme, named.format("w1"), name="w2")
    draft = f'name: "w1"\nversion: "2"\nsteps:{named.format("w2")}'
    assert "would run itself" in validate_workflow(source=draft, tenant=acme)[0].message


def test_a_circle_that_publishing_did_not_see_ends_at_run_time(acme, sink, publish, monkeypatch) -> None:
    publish(acme, calls(sink, "x"), name="inner")
    publish(acme, child())
    monkeypatch.setattr(definitions, "find_problems_among", lambda **given: [])
    publish(acme, child().replace('"inner"', '"w"'), name="inner")
    run_id = start(acme)
    go_on(acme)
    assert show(acme, run_id).status is RunStatus.FAILED
    assert "would run itself" in inner_of(acme, run_id).error
    assert len(all_runs(acme)) == 2


@pytest.mark.parametrize(
    ("steps", "message", "fix"),
    [
        (child().replace('"inner"', '"iner"'), "there is no workflow `iner`", "did you mean `inner`"),
        (child().replace('"inner"', '"draft"'), "is not published yet", "publish it first"),
        (child().replace('"inner"', '"w"'), "cannot run itself", "another"),
        (child("config: {amont: 3, amount: 4}"), "`amont` is not known here", "amount"),
        (child(), "`amount` is missing", "amount"),
        (child('config: {amount: "three"}'), "is not allowed here", "whole number"),
        (child('config: {amount: "${text}"}'), "this is a string, not a int", "convert"),
        (child('config: {amount: 3}\n    timeout: "400d"'), "longer than a year", "shorter"),
    ],
)
def test_what_it_cannot_mean_is_told_at_its_line(acme, globex, publish, sink, steps, message, fix) -> None:
    publish(acme, calls(sink, "x"), 'inputs: {amount: {type: "int", required: true}}', name="inner")
    save_draft(tenant=acme, source='name: "draft"\nversion: "1"\nsteps: []\n')
    source = f'name: "w"\nversion: "1"\nsteps:{steps}\n'
    problems = validate_workflow(source=source, tenant=acme)
    assert any(message in p.message and fix in p.fix for p in problems), problems
    assert all(problem.line >= 3 for problem in problems)
    assert validate_workflow(source=source, tenant=globex), "another's workflows are not known"
    good = f'name: "w"\nversion: "1"\nsteps:{child("config: {amount: 3}")}'
    assert validate_workflow(source=good, tenant=acme) == []
    assert find_problems(good) == []


def test_over_the_api_and_on_the_page(acme, globex, outer) -> None:
    run_id = outer(inner_steps=PAID)
    go_on(acme)
    shown = client_of(acme).get(f"/api/v1/runs/{run_id}").json()
    below = shown["steps"][1]["child_run_id"]
    assert shown["steps"][1]["awaited"]["kind"] == "run"
    assert client_of(acme).get(f"/api/v1/runs/{below}").json()["parent_run_id"] == str(run_id)
    assert client_of(globex).get(f"/api/v1/runs/{below}").status_code == 404
    viewer = log_in(acme, Role.VIEWER)
    assert f"/app/runs/{below}/" in viewer.get(f"/app/runs/{run_id}/").content.decode()
    assert f"/app/runs/{run_id}/" in viewer.get(f"/app/runs/{below}/").content.decode()
