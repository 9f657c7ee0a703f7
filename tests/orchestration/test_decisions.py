from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.orchestration.contracts import RunStatus, StepStatus
from apps.orchestration.definitions.contracts import (
    UNDO_CHILD,
    CompensationDefinition,
    Effect,
    RetryRule,
    StepDefinition,
    StepType,
    WorkflowDefinition,
)
from apps.orchestration.engine import decisions as d
from apps.orchestration.engine.state import Fact, Kind, RunState, fold
from tests.orchestration.simulator import Simulation

EFFECTS = [Effect.NONE, Effect.TRANSACTIONAL, Effect.IDEMPOTENT]


def make_step(name: str, **fields) -> StepDefinition:
    known = {"type": StepType.TOOL, "effect": Effect.IDEMPOTENT, "tool": "http_request", **fields}
    return StepDefinition(id=name, **known)


def make_definition(*steps: StepDefinition, undone: dict[str, Effect] | None = None) -> WorkflowDefinition:
    compensation = {
        name: CompensationDefinition(name, "undo", effect) for name, effect in (undone or {}).items()
    }
    return WorkflowDefinition("w", "1", "hash", "", (), (), steps, compensation)


@st.composite
def definitions(draw) -> WorkflowDefinition:
    names = [f"s{n}" for n in range(draw(st.integers(1, 7)))]
    children = {name for name in names if draw(st.sampled_from([True, False, False, False]))}
    steps = [
        make_step(
            name,
            type=StepType.SUBWORKFLOW if name in children else StepType.TOOL,
            effect=draw(st.sampled_from(EFFECTS)),
            retry=RetryRule(max_attempts=draw(st.integers(1, 3))),
            condition=draw(st.sampled_from(["", "", "", "1 == 1", "1 == 2"])),
        )
        for name in names
    ]
    undone = {name: draw(st.sampled_from(EFFECTS)) for name in names if draw(st.booleans())}
    made = make_definition(*steps, undone=undone)
    below = {name: CompensationDefinition(name, UNDO_CHILD, Effect.TRANSACTIONAL) for name in children}
    return replace(made, compensation={**made.compensation, **below})


@settings(max_examples=300, deadline=None)
@given(
    definition=definitions(),
    bad=st.dictionaries(st.sampled_from([f"s{n}" for n in range(7)]), st.integers(1, 4), max_size=2),
    bad_undo=st.dictionaries(
        st.sampled_from([f"s{n}/undo" for n in range(7)]), st.integers(1, 4), max_size=1
    ),
    crashes=st.sets(st.integers(1, 40), max_size=6),
    cancel_at=st.none() | st.integers(1, 12),
)
def test_whatever_fails_what_was_done_is_undone_once_in_reverse(
    definition, bad, bad_undo, crashes, cancel_at
) -> None:
    failing = {**bad, **bad_undo}
    simulation = Simulation(
        definition,
        succeeds=lambda path, attempt: attempt > failing.get(path, 0),
        crash=lambda turn: turn in crashes,
        cancel_at=cancel_at,
    )
    state = simulation.run()

    assert state.status.is_end
    undone = [path.removesuffix("/undo") for path in simulation.effects if path.endswith("/undo")]
    to_undo = [name for name in reversed(state.done) if name in definition.compensation]
    assert undone == to_undo[: len(undone)], "exactly the reverse order, each once, none left out between"
    if state.status in (RunStatus.COMPENSATED, RunStatus.FAILED, RunStatus.CANCELLED):
        assert undone == to_undo
    if state.status is RunStatus.COMPENSATION_FAILED:
        assert state.step(to_undo[len(undone)]).status is StepStatus.STUCK
    if state.status is RunStatus.COMPLETED:
        assert undone == []
        assert all(
            state.step(step.id).status
            is (StepStatus.SKIPPED if step.condition == "1 == 2" else StepStatus.DONE)
            for step in definition.steps
        )


@settings(max_examples=100, deadline=None)
@given(definition=definitions(), crashes=st.sets(st.integers(1, 30)), failing=st.integers(0, 6))
def test_state_is_the_fold_of_its_events_at_every_point(definition, crashes, failing) -> None:
    simulation = Simulation(
        definition, succeeds=lambda path, attempt: path != f"s{failing}", crash=lambda turn: turn in crashes
    )
    final = simulation.run()
    for cut in range(len(simulation.facts)):
        assert fold(simulation.facts[cut:], fold(simulation.facts[:cut])) == final


@settings(max_examples=100, deadline=None)
@given(definition=definitions(), stuck=st.integers(0, 6))
def test_a_stuck_compensation_goes_on_after_a_retry(definition, stuck) -> None:
    last = definition.steps[-1].id
    broken = Simulation(definition, succeeds=lambda path, attempt: path not in (last, f"s{stuck}/undo"))
    state = broken.run()
    if state.status is not RunStatus.COMPENSATION_FAILED:
        return
    broken.succeeds = lambda path, attempt: path != last
    broken.note(Kind.RETRY_REQUESTED, by="ops")
    broken.go_on()
    assert broken.state.status is RunStatus.COMPENSATED
    undone = [path.removesuffix("/undo") for path in broken.effects if path.endswith("/undo")]
    assert undone == [name for name in reversed(broken.state.done) if name in definition.compensation]


@settings(max_examples=200, deadline=None)
@given(
    definition=definitions(),
    bad_undo=st.dictionaries(
        st.sampled_from([f"s{n}/undo" for n in range(7)]), st.integers(1, 4), max_size=1
    ),
    crashes=st.sets(st.integers(1, 60), max_size=8),
)
def test_a_completed_run_is_undone_on_request_once_in_reverse(definition, bad_undo, crashes) -> None:
    simulation = Simulation(
        definition,
        succeeds=lambda path, attempt: attempt > bad_undo.get(path, 0),
        crash=lambda turn: turn in crashes,
    )
    assert simulation.run().status is RunStatus.COMPLETED
    to_undo = [c.step for c in d.list_undoable(simulation.state, definition)]
    assert to_undo == [name for name in reversed(simulation.state.done) if name in definition.compensation]
    simulation.note(Kind.COMPENSATION_STARTED, reason="requested")
    simulation.go_on()
    undone = [path.removesuffix("/undo") for path in simulation.effects if path.endswith("/undo")]
    assert undone == to_undo[: len(undone)]
    if simulation.state.status is RunStatus.COMPENSATED:
        assert undone == to_undo
    elif to_undo:
        assert simulation.state.status is RunStatus.COMPENSATION_FAILED
        assert simulation.state.step(to_undo[len(undone)]).status is StepStatus.STUCK


def started(**state) -> RunState:
    return replace(fold([Fact(Kind.RUN_STARTED, {"input": {}})]), **state)


def intended(step: str) -> list[Fact]:
    return [
        Fact(Kind.RUN_STARTED, {"input": {}}),
        Fact(Kind.STEP_INTENDED, {"step": step, "attempt": 2, "arguments": {"url": "u"}}),
    ]


def test_a_lost_outcome_is_repeated_with_the_intended_arguments_when_that_is_harmless() -> None:
    command = d.decide(fold(intended("a")), make_definition(make_step("a", config={"url": "${1 + 1}"})))
    assert isinstance(command, d.Execute)
    assert (command.attempt, command.arguments, command.is_repeat) == (2, {"url": "u"}, True)


def test_a_lost_outcome_is_asked_for_where_the_tool_can_tell() -> None:
    definition = make_definition(make_step("a", effect=Effect.LOOKUP))
    assert isinstance(d.decide(fold(intended("a")), definition), d.LookUp)


def test_a_lost_outcome_of_any_other_tool_waits_for_a_human() -> None:
    definition = make_definition(make_step("a", effect=Effect.NEITHER), make_step("b"))
    command = d.decide(fold(intended("a")), definition)
    assert isinstance(command, d.Record)
    waiting = fold([*intended("a"), command.fact])
    assert (waiting.status, waiting.step("a").status) == (RunStatus.WAITING, StepStatus.UNKNOWN)
    assert isinstance(d.decide(waiting, definition), d.Rest)

    was_done = fold([Fact(Kind.STEP_RESOLVED, {"step": "a", "outcome": "done", "output": {}})], waiting)
    following = d.decide(was_done, definition)
    assert isinstance(following, d.Execute)
    assert following.step.id == "b"
    not_done = fold([Fact(Kind.STEP_RESOLVED, {"step": "a", "outcome": "not_done"})], waiting)
    again = d.decide(not_done, definition)
    assert isinstance(again, d.Execute)
    assert (again.step.id, again.attempt, again.is_repeat) == ("a", 3, False)


def test_a_lost_undoing_that_must_not_be_repeated_is_stuck() -> None:
    definition = make_definition(make_step("a"), undone={"a": Effect.NEITHER})
    facts = [
        Fact(Kind.RUN_STARTED, {"input": {}}),
        Fact(Kind.STEP_COMPLETED, {"step": "a", "attempt": 1, "output": {}}),
        Fact(Kind.COMPENSATION_STARTED, {"reason": "failed"}),
        Fact(Kind.UNDO_INTENDED, {"step": "a", "action": "undo", "attempt": 1, "arguments": {}}),
    ]
    command = d.decide(fold(facts), definition)
    assert isinstance(command, d.Record)
    assert fold([*facts, command.fact]).step("a").status is StepStatus.STUCK


def test_a_condition_is_recorded_with_what_it_read() -> None:
    router = make_step("r", type=StepType.ROUTER, effect=Effect.NONE)
    definition = make_definition(
        router, make_step("a", condition="confidence < 0.7 OR intent == 'complaint'")
    )
    decided = {"intent": "faq", "confidence": 0.91, "tier": "small"}
    facts = [
        Fact(Kind.RUN_STARTED, {"input": {"text": "hi"}}),
        Fact(Kind.STEP_COMPLETED, {"step": "r", "attempt": 1, "output": decided}),
    ]
    definition = replace(
        definition, steps=(replace(router, outputs=dict.fromkeys(decided)), definition.steps[1])
    )
    command = d.decide(fold(facts), definition)
    assert isinstance(command, d.Record)
    assert command.fact.data["condition"] == {
        "text": "confidence < 0.7 OR intent == 'complaint'",
        "inputs": {"confidence": 0.91, "intent": "faq"},
        "result": False,
    }


def test_a_condition_that_cannot_be_computed_fails_its_step_for_good() -> None:
    definition = make_definition(make_step("a", condition="settings.shop.url == 'x'"))
    command = d.decide(started(), definition)
    assert isinstance(command, d.Record)
    assert command.fact.data["is_final"]
    assert "shop" in command.fact.data["error"]


@pytest.mark.parametrize(("attempt", "delay_s"), [(1, 0.5), (2, 1.0), (3, 2.0), (60, 300.0)])
def test_retry_delays_grow_to_their_bound(attempt, delay_s) -> None:
    assert RetryRule(max_attempts=99).delay_s(attempt) == delay_s
