"""Which of the commands that are possible comes next: a pure function of them."""

from __future__ import annotations

from collections.abc import Iterable

from apps.orchestration.contracts import RunStatus
from apps.orchestration.definitions.contracts import Effect
from apps.orchestration.engine.commands import (
    Await,
    BeginChild,
    Command,
    Execute,
    Linger,
    Record,
    Rest,
    Together,
)
from apps.orchestration.engine.state import Fact, Kind, RunState

# A shorter pause is waited out; a longer one the run sleeps through, in the table and not in a thread.
NAP_S = 1.0
MAX_TOGETHER = 10  # steps of one run under way at the same time


def choose(options: Iterable[Command], state: RunState, busy: frozenset[str]) -> Command:
    """Choose what is done next: notes first, then what calls out, then what needs the run's own thread."""
    executes: list[Execute | BeginChild] = []
    awaits: list[Await] = []
    for option in options:
        if isinstance(option, Execute) or (isinstance(option, BeginChild) and option.delay_s > NAP_S):
            executes.append(option)
        elif isinstance(option, Await):
            awaits.append(option)
        else:
            return option
    if len(executes) == 1 and not busy and not awaits:
        return executes[0]
    return _begin_some(executes, len(busy)) or _wait(executes, awaits, state, busy)


def _begin_some(executes: list[Execute | BeginChild], count: int) -> Command | None:
    soon = [execute for execute in executes if isinstance(execute, Execute) and execute.delay_s <= NAP_S]
    calling_out = [execute for execute in soon if execute.step.effect is not Effect.TRANSACTIONAL]
    if calling_out and count < MAX_TOGETHER:
        return Together(tuple(calling_out[: MAX_TOGETHER - count]))
    return next((execute for execute in soon if execute.step.effect is Effect.TRANSACTIONAL), None)


def _wait(
    executes: list[Execute | BeginChild], awaits: list[Await], state: RunState, busy: frozenset[str]
) -> Command:
    if busy:
        return Linger(tuple(awaits))
    if executes:
        return min(executes, key=lambda execute: execute.delay_s)
    if awaits and state.status is not RunStatus.SLEEPING:
        return Record(Fact(Kind.RUN_SLEPT))
    if len(awaits) == 1:
        return awaits[0]
    return Together(tuple(awaits)) if awaits else Rest()
