"""Random workflows in worlds of chance: what must hold holds after every transition."""

import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from apps.orchestration.contracts import RunStatus
from apps.orchestration.engine import decisions as d
from tests.orchestration.promises import Violated
from tests.orchestration.random_workflows import draw_workflow
from tests.orchestration.worlds import Chances, World, live_through


@pytest.mark.parametrize("first", range(0, 400, 50))
def test_whatever_happens_a_run_keeps_its_promises(first) -> None:
    ends = {live_through(draw_workflow(seed), seed).state.status for seed in range(first, first + 50)}
    assert len(ends) >= 3, "the worlds are too much alike"


def test_the_same_seed_is_the_same_world() -> None:
    first, second = (live_through(draw_workflow(11), 11) for _ in range(2))
    assert (first.stored, first.effects) == (second.stored, second.effects)


def test_a_broken_promise_is_found_and_told_with_its_seed(monkeypatch) -> None:
    undo = d.list_undoable
    monkeypatch.setattr(d, "list_undoable", lambda *given: undo(*given)[::-1])
    with pytest.raises(Violated, match="not exactly the reverse order"):
        for seed in range(100):
            live_through(draw_workflow(seed), seed)


class Life(RuleBasedStateMachine):
    """A run, and everything that may come from outside between any two of its decisions."""

    @initialize(seed=st.integers(0, 10**6), failure=st.sampled_from([0.0, 0.1, 0.3]))
    def begin(self, seed, failure) -> None:
        self.world = World(draw_workflow(seed), seed, Chances(failure=failure, crash=0.0))

    @rule(count=st.integers(1, 8))
    def goes_on(self, count) -> None:
        for _ in range(count):
            self.world.turn()

    @rule()
    def its_process_dies(self) -> None:
        self.world.die()

    @rule()
    def somebody_cancels(self) -> None:
        self.world.wants_cancel = not self.world.state.status.is_end

    @rule()
    def its_time_is_over(self) -> None:
        self.world.times_out_at = self.world.now

    @rule()
    def what_it_waits_for_arrives(self) -> None:
        self.world.signals = dict.fromkeys(self.world.signals, self.world.now)

    @precondition(lambda self: self.is_at_rest(RunStatus.WAITING))
    @rule()
    def somebody_says_what_became_of_a_step(self) -> None:
        self.world.resolve()

    @precondition(lambda self: self.is_at_rest(RunStatus.FAILED, RunStatus.COMPENSATION_FAILED))
    @rule()
    def somebody_retries(self) -> None:
        self.world.times_out_at = None
        self.world.retry()

    @precondition(lambda self: self.is_at_rest(RunStatus.COMPLETED))
    @rule()
    def somebody_undoes_it(self) -> None:
        if d.list_undoable(self.world.state, self.world.definition):
            self.world.ask_to_undo()

    def is_at_rest(self, *statuses: RunStatus) -> bool:
        world = self.world
        is_stored = not world.waiting and not world.flights
        return is_stored and world.state.status in statuses

    @invariant()
    def an_ended_run_is_whole(self) -> None:
        if self.is_at_rest(*(status for status in RunStatus if status.is_end)):
            self.world.check_end()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.chance = random.Random(1)
            self.world.live()
            self.world.check_end()


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=150, stateful_step_count=25, deadline=None)
