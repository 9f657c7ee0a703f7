"""Branches, loops and transitions, end to end: what runs at the same time, stops, sleeps, and is undone."""

import threading
import time

import pytest
from django.db import connections

from apps.orchestration import mailbox, services
from apps.orchestration.contracts import RunStatus
from apps.orchestration.engine.execution import Execution
from apps.orchestration.engine.flights import Flights
from apps.orchestration.steps import registry
from apps.orchestration.verifying import verify_runs
from tests.orchestration.engine import (
    assert_history_is_whole,
    expire,
    kinds,
    paths,
    show,
    start,
    states,
    undo,
)

pytestmark = pytest.mark.usefixtures("live_db", "no_hints", "valkey", "closed_breakers")
QUICK = "retry: {max_attempts: 1}"


def call(sink, name, more=QUICK):
    config = f'{{method: "POST", url: "{sink.url}/{name}"}}'
    return f'{{id: "{name}", type: "tool", tool: "http_request", config: {config}, {more}}}'


def parallel(*branches, join="all"):
    lines = [f"      - steps: [{', '.join(steps)}]" for steps in branches]
    return "\n".join(
        ['  - id: "both"', '    type: "parallel"', f"    config: {{join: {join}}}", "    branches:", *lines]
    )


def run(tenant, publish, steps, rest="", **given):
    publish(tenant, steps, rest)
    run_id = start(tenant, **given)
    services.execute_run(tenant=tenant, run_id=run_id)
    return run_id


@pytest.fixture(autouse=True)
def every_history_is_whole(acme):
    yield
    assert verify_runs(tenant=acme).differences == []


def test_branches_call_out_at_the_same_time(acme, sink, publish) -> None:
    together = threading.Barrier(3, timeout=5)
    sink.on_request = together.wait
    steps = parallel(*([call(sink, name)] for name in "abc"))
    run_id = run(acme, publish, steps)
    assert show(acme, run_id).status is RunStatus.COMPLETED
    assert states(acme, run_id) == {"both": "done", "both.a": "done", "both.b": "done", "both.c": "done"}
    assert len(set(sink.keys)) == 3
    told = kinds(acme, run_id)
    assert told.index("step_completed") - told.index("step_intended") == 3, "all intents come first"
    assert_history_is_whole(acme, run_id)


def test_branches_go_on_independently_and_are_undone_as_they_were_done(acme, sink, publish) -> None:
    slow = threading.Event()

    def answer(path, number):
        if path == "/a":
            assert slow.wait(5)
        if path == "/b2":
            slow.set()
        return 500 if path == "/last" else 200

    sink.answer = answer
    steps = parallel([call(sink, "a")], [call(sink, "b1"), call(sink, "b2")])
    run_id = run(acme, publish, f"{steps}\n  - {call(sink, 'last')}", undo(sink, "a", "b1", "b2"))
    assert show(acme, run_id).status is RunStatus.COMPENSATED
    done = [event for event in paths(sink) if not event.startswith("undo")]
    assert done[-1] == "last"
    assert [path for path in paths(sink) if path.startswith("undo")][-1] == "undo-b1"
    assert states(acme, run_id)["both.a"] == "undone"


def test_a_failing_branch_stops_the_others_and_what_was_under_way_is_undone(acme, sink, publish) -> None:
    failed = threading.Event()

    def answer(path, number):
        if path == "/slow":
            assert failed.wait(5)
        elif path == "/bad":
            threading.Timer(0.2, failed.set).start()
            return 500
        return 200

    sink.answer = answer
    steps = parallel([call(sink, "slow"), call(sink, "never")], [call(sink, "bad")])
    run_id = run(acme, publish, steps, undo(sink, "slow"))
    assert show(acme, run_id).status is RunStatus.COMPENSATED
    assert "never" not in paths(sink)
    assert paths(sink)[-1] == "undo-slow"
    assert states(acme, run_id) == {
        "both": "failed",
        "both.slow": "undone",
        "both.never": "skipped",
        "both.bad": "failed",
    }


@pytest.mark.parametrize(("join", "left_out"), [("any", {"b2", "c2"}), (2, {"c2"})])
def test_enough_branches_are_enough(acme, sink, publish, join, left_out) -> None:
    gates = {"/b1": threading.Event(), "/c1": threading.Event()}

    def answer(path, number):
        gate = gates.get(path)
        assert gate is None or gate.wait(5)
        if path == "/a":
            threading.Timer(0.2, gates["/b1"].set).start()
            threading.Timer(0.6, gates["/c1"].set).start()
        return 200

    sink.answer = answer
    branches = [[call(sink, "a")], [call(sink, "b1"), call(sink, "b2")], [call(sink, "c1"), call(sink, "c2")]]
    run_id = run(acme, publish, parallel(*branches, join=join), undo(sink, "b1", "c1"))
    found = show(acme, run_id)
    assert found.status is RunStatus.COMPLETED
    skipped = {step.id: step.reason for step in found.steps if step.state == "skipped"}
    assert skipped == {f"both.{name}": "enough other branches were done" for name in left_out}
    assert set(found.undoable) == {"both.b1", "both.c1"}, "what was under way was awaited and counts"
    assert left_out.isdisjoint(paths(sink))


def test_a_branch_may_fail_where_others_are_enough(acme, sink, publish) -> None:
    sink.answer = lambda path, number: 500 if path == "/a" else 200
    steps = parallel([call(sink, "a"), call(sink, "a2")], [call(sink, "b")], join="any")
    run_id = run(acme, publish, steps)
    assert show(acme, run_id).status is RunStatus.COMPLETED
    assert states(acme, run_id) == {
        "both": "done",
        "both.a": "failed",
        "both.a2": "skipped",
        "both.b": "done",
    }
    sink.answer = lambda path, number: 500
    other = run(acme, publish, steps)
    assert show(acme, other).status is RunStatus.FAILED
    sink.answer = lambda path, number: 200
    services.retry_run(tenant=acme, run_id=other)
    services.execute_run(tenant=acme, run_id=other)
    assert show(acme, other).status is RunStatus.COMPLETED


def wait(name, config):
    return f'{{id: "{name}", type: "wait", config: {{{config}}}}}'


def test_a_run_sleeps_only_when_no_branch_can_go_on(acme, sink, publish) -> None:
    steps = parallel(
        [wait("w", "signal: paid"), call(sink, "paid")],
        [call(sink, "b1"), call(sink, "b2")],
        [wait("ok", 'approval: "Fine?"'), call(sink, "fine")],
    )
    run_id = run(acme, publish, steps)
    assert (show(acme, run_id).status, paths(sink)) == (RunStatus.SLEEPING, ["b1", "b2"])
    assert {s.id for s in show(acme, run_id).steps if s.awaited} == {"both.w", "both.ok"}
    mailbox.answer_approval(tenant=acme, run_id=run_id, step_id="both.ok", is_approved=True)
    services.execute_run(tenant=acme, run_id=run_id)
    assert (show(acme, run_id).status, paths(sink)[2:]) == (RunStatus.SLEEPING, ["fine"])
    mailbox.send_signal(tenant=acme, run_id=run_id, name="paid")
    services.execute_run(tenant=acme, run_id=run_id)
    assert (show(acme, run_id).status, paths(sink)[3:]) == (RunStatus.COMPLETED, ["paid"])


def each(sink, *names, more="", items="${input.orders}"):
    json = 'json: {item: "${item}", at: "${index}"}'
    body = ", ".join(
        f'{{id: "{name}", type: "tool", tool: "http_request", config: {{method: "POST", '
        f'url: "{sink.url}/{name}", {json}}}, {QUICK}}}'
        for name in names
    )
    config = f'config: {{items: "{items}"{more}}}'
    return f'  - id: "each"\n    type: "foreach"\n    {config}\n    steps: [{body}]'


INPUTS = "inputs:\n  orders: {type: list}\n"


def test_each_item_has_its_own_path_key_and_result(acme, sink, publish) -> None:
    after = """
  - id: "tell"
    type: "tool"
    tool: "generic_response"
    config: {text: "${steps.each.count} done, last ${steps.each.results[2].status}"}"""
    run_id = run(acme, publish, each(sink, "a", "b") + after, INPUTS, orders=["x", "y", "z"])
    found = show(acme, run_id)
    assert found.status is RunStatus.COMPLETED
    assert [s.id for s in found.steps][:4] == ["each", "each[0].a", "each[0].b", "each[1].a"]
    assert found.steps[-1].output == {"text": "3 done, last 200"}
    assert [r["body"] for r in sink.requests][::2] == [{"item": n, "at": i} for i, n in enumerate("xyz")]
    assert len(set(sink.keys)) == 6


def test_items_are_done_several_at_a_time(acme, sink, publish) -> None:
    together = threading.Barrier(2, timeout=5)
    sink.on_request = together.wait
    run_id = run(acme, publish, each(sink, "a", more=", concurrency: 2"), INPUTS, orders=[1, 2, 3, 4])
    assert show(acme, run_id).status is RunStatus.COMPLETED


def test_what_was_done_for_each_item_is_undone_in_reverse(acme, sink, publish) -> None:
    sink.answer = lambda path, number: 500 if (path, number) == ("/b", 3) else 200
    rest = INPUTS + (
        f'compensation:\n  - {{step: "a", action: "http_request", config: {{method: "POST", '
        f'url: "{sink.url}/undo-a", json: {{item: "${{item}}"}}}}}}\n'
        f'  - {{step: "b", action: "http_request", config: {{method: "POST", url: "{sink.url}/undo-b"}}}}'
    )
    run_id = run(acme, publish, each(sink, "a", "b"), rest, orders=["x", "y", "z"])
    assert show(acme, run_id).status is RunStatus.COMPENSATED
    assert paths(sink)[-5:] == ["undo-a", "undo-b", "undo-a", "undo-b", "undo-a"]
    assert [r["body"] for r in sink.requests if r["path"] == "/undo-a"] == [{"item": n} for n in "zyx"]
    assert len(set(sink.keys)) == len(sink.keys)


@pytest.mark.parametrize(
    ("orders", "message"), [([1, 2, 3], "max_items is 2: nothing was begun"), ([], ""), (None, "is no list")]
)
def test_a_loop_is_bounded(acme, sink, publish, orders, message) -> None:
    given = {} if orders is None else {"orders": orders}
    no_list = "${has(settings.http_request.x) ? [] : input.text}"
    items = no_list if orders is None else "${input.orders}"
    publish(acme, each(sink, "a", more=", max_items: 2", items=items), INPUTS)
    run_id = start(acme, text="x", **given)
    services.execute_run(tenant=acme, run_id=run_id)
    found = show(acme, run_id)
    assert found.status is (RunStatus.FAILED if message else RunStatus.COMPLETED)
    assert message in found.error
    assert sink.requests == []


def turning(sink, next_, more=""):
    return (
        f"  - {call(sink, 'try', more=QUICK)[:-1]}, next: {next_}{more}}}\n"
        f"  - {call(sink, 'fix')[:-1]}, next: try}}\n"
        f"  - {call(sink, 'done')}"
    )


def test_a_run_comes_back_until_a_condition_lets_it_on(acme, sink, publish) -> None:
    steps = turning(sink, '[{when: "steps.try.body.n == 3", to: done}, {to: fix}]')
    run_id = run(acme, publish, steps, undo(sink, "try", "fix"))
    found = show(acme, run_id)
    assert found.status is RunStatus.COMPLETED
    assert paths(sink) == ["try", "fix", "try", "fix", "try", "done"]
    assert [s.id for s in found.steps] == ["try", "try#2", "try#3", "fix", "fix#2", "done"]
    assert found.undoable == ["try#3", "fix#2", "try#2", "fix", "try"]
    assert len(set(sink.keys)) == 6
    services.compensate_run(tenant=acme, run_id=run_id)
    services.execute_run(tenant=acme, run_id=run_id)
    assert paths(sink)[6:] == ["undo-try", "undo-fix", "undo-try", "undo-fix", "undo-try"]
    assert len(set(sink.keys)) == 11


def test_a_run_that_never_comes_out_fails_clearly(acme, sink, publish) -> None:
    steps = turning(sink, '[{when: "steps.try.body.n == 0", to: done}, {to: fix}]', ", max_visits: 3")
    run_id = run(acme, publish, steps)
    found = show(acme, run_id)
    assert (found.status, found.error) == (
        RunStatus.FAILED,
        "try was come to more than 3 times (max_visits)",
    )
    assert paths(sink).count("try") == 3


def test_a_transition_that_cannot_be_computed_fails_the_run_and_undoes_its_step(acme, sink, publish) -> None:
    steps = turning(sink, '[{when: "steps.try.body.gone == 3", to: done}, {to: fix}]')
    run_id = run(acme, publish, steps, undo(sink, "try"))
    assert show(acme, run_id).status is RunStatus.COMPENSATED
    assert "there is no 'gone'" in show(acme, run_id).error
    assert paths(sink) == ["try", "undo-try"]


def test_a_run_ends_where_a_transition_says(acme, sink, publish) -> None:
    leave = "next: [{when: 'steps.a.status == 200', to: end}]"
    steps = f"  - {call(sink, 'a')[:-1]}, {leave}}}\n  - {call(sink, 'b')}"
    run_id = run(acme, publish, steps)
    assert states(acme, run_id) == {"a": "done", "b": "skipped"}
    assert paths(sink) == ["a"]


def test_a_run_out_of_time_is_undone(acme, sink, publish) -> None:
    steps = f"  - {call(sink, 'a')}\n  - {wait('w', 'signal: paid')}"
    run_id = run(acme, publish, steps, f"timeout: 1s\n{undo(sink, 'a')}")
    assert show(acme, run_id).status is RunStatus.SLEEPING
    assert show(acme, run_id).due_at is not None
    time.sleep(1.1)
    services.execute_run(tenant=acme, run_id=run_id)
    found = show(acme, run_id)
    assert found.status is RunStatus.COMPENSATED
    assert found.error == "the run took longer than its timeout of 1 s"
    assert paths(sink) == ["a", "undo-a"]
    expire(acme, run_id)


def test_a_step_out_of_time_fails(acme, publish, monkeypatch) -> None:
    load, over = registry._load.__wrapped__, threading.Event()
    slow = registry.TOOL_ACTIONS["faq_search"]
    monkeypatch.setattr(
        registry, "_load", lambda name: (lambda _: over.wait(5)) if name == slow else load(name)
    )
    step = f'{{id: "find", type: "tool", tool: "faq_search", timeout: "0.2s", {QUICK}}}'
    run_id = run(acme, publish, f"  - {step}")
    over.set()
    assert show(acme, run_id).error == "it took longer than 0.2 s"


class Dies(BaseException):
    """The process dies here."""


@pytest.mark.parametrize("point", ["intents", "landing", "noted"])
def test_who_dies_with_several_calls_under_way_repeats_them_with_their_keys(
    acme, sink, publish, monkeypatch, point
) -> None:
    publish(acme, parallel([call(sink, "a")], [call(sink, "b"), call(sink, "c")]), undo(sink, "a", "b"))
    run_id = start(acme)
    with monkeypatch.context() as patched:
        die = {"intents": "begin", "landing": "land"}.get(point)
        owner, name = (Flights, die) if die else (Execution, "_note_landing")

        def dies(*_given, **_named):
            time.sleep(0.3)  # what was begun reaches the other side
            raise Dies

        patched.setattr(owner, name, dies)
        with pytest.raises(Dies):
            services.execute_run(tenant=acme, run_id=run_id)
    assert kinds(acme, run_id) == ["run_started", "step_opened", "step_intended", "step_intended"]
    expire(acme, run_id)
    services.execute_run(tenant=acme, run_id=run_id)
    assert show(acme, run_id).status is RunStatus.COMPLETED
    assert len(set(sink.keys)) == 3
    assert_history_is_whole(acme, run_id)


def test_a_wish_to_cancel_is_seen_between_branches_and_all_of_it_is_undone(acme, sink, publish) -> None:
    publish(acme, parallel([call(sink, "a"), call(sink, "a2")], [call(sink, "b")]), undo(sink, "a", "b"))
    run_id = start(acme)
    asked = threading.Event()

    def cancel():
        if not asked.is_set():
            asked.set()
            services.cancel_run(tenant=acme, run_id=run_id)
            connections.close_all()

    sink.on_request = cancel
    services.execute_run(tenant=acme, run_id=run_id)
    expire(acme, run_id)
    services.execute_run(tenant=acme, run_id=run_id)
    assert show(acme, run_id).status is RunStatus.CANCELLED
    assert "a2" not in paths(sink)
    assert sorted(paths(sink)) == ["a", "b", "undo-a", "undo-b"]
