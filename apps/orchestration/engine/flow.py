"""Where a run stands in its workflow: what may begin, what a container waits for, what an expression sees."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from apps.orchestration.contracts import StepStatus
from apps.orchestration.definitions.contracts import (
    END,
    BranchDefinition,
    StepDefinition,
    WorkflowDefinition,
    step_id_of,
)
from apps.orchestration.engine.state import RunState, StepState

OPEN = frozenset(
    {StepStatus.PENDING, StepStatus.RUNNING, StepStatus.WAITING, StepStatus.FAILED, StepStatus.UNKNOWN}
)
MAX_VISITED = 1000  # steps on the way of a run, whatever its transitions say
JOINED = "enough other branches were done"
_SEGMENT = re.compile(r"(?P<visit>(?P<id>[a-z0-9_]+)(?:#\d+)?)(?:\[(?P<index>\d+)\])?")


@dataclass(frozen=True)
class Begin:
    """A step may begin, or be tried again."""

    path: str
    step: StepDefinition


@dataclass(frozen=True)
class Awaiting:
    """A step waits for a time, a signal or an approval."""

    path: str
    step: StepDefinition


@dataclass(frozen=True)
class Close:
    """All that a container has to wait for is over."""

    path: str
    step: StepDefinition
    output: Mapping[str, Any]


@dataclass(frozen=True)
class LeaveOut:
    """A step is not needed any more: its `parallel` has what it waited for."""

    path: str


@dataclass(frozen=True)
class Turn:
    """A step with transitions is over: where the run goes is to be decided."""

    path: str
    step: StepDefinition


@dataclass(frozen=True)
class Overrun:
    """A step was come back to too often."""

    path: str
    error: str


@dataclass(frozen=True)
class End:
    """Nothing is left to do."""


Move = Begin | Awaiting | Close | LeaveOut | Turn | Overrun | End


@dataclass(frozen=True)
class Scope:
    """What an expression sees: the latest visit of each step by its id, and a loop's `item` and `index`."""

    visible: Mapping[str, str] = field(default_factory=dict)
    loop: Mapping[str, Any] = field(default_factory=dict)


def list_moves(state: RunState, definition: WorkflowDefinition) -> Iterator[Move]:
    """Yield what a running run could do now; nothing when all is under way or its outcome unknown."""
    *_, last = _trail(state, definition)
    if isinstance(last, Begin):
        yield from _moves_at(last, state)
    else:
        yield last


def is_doomed(state: RunState, definition: WorkflowDefinition) -> bool:
    """Tell whether what failed keeps the run from its end: a `parallel` may still have enough branches."""
    if not state.failed:
        return False
    match [*_trail(state, definition)][-1]:
        case Begin(path, step):
            return _is_dead(path, step, state)
        case Turn(path):
            return f"{path}/next" in state.failed
        case Overrun(path):
            return path in state.failed
    return False


def scope_of(state: RunState, definition: WorkflowDefinition, path: str = "") -> Scope:
    """Tell what an expression of the step at a path sees; without one, what is seen from outside."""
    visible: dict[str, str] = {}
    for place in _trail(state, definition):
        if isinstance(place, Begin):
            _reveal(place.step, place.path, state, visible)
    if not path or path in visible.values():
        return Scope(visible)
    return _scope_inside(path.partition("/")[0], state, definition, visible)


def list_places(state: RunState, definition: WorkflowDefinition) -> Iterator[Begin]:
    """Yield the steps of a run at their paths, in the order of the workflow, each visit and iteration."""
    visits: dict[str, list[Begin]] = {step.id: [] for step in definition.steps}
    for place in _trail(state, definition):
        if isinstance(place, Begin):
            visits[place.step.id].append(place)
    for step in definition.steps:
        for place in visits[step.id] or [Begin(step.id, step)]:
            yield from _places_at(place.path, step, state)


def outer_of(path: str) -> str:
    """Return the path of the outermost step around a path, which may be the path itself."""
    return path.partition(".")[0].partition("[")[0].partition("/")[0]


def parent_of(path: str) -> str:
    """Return the path of the container around a step; empty for an outer step."""
    above = path.rpartition(".")[0]
    return above.rpartition("[")[0] if above.endswith("]") else above


def needed_of(step: StepDefinition) -> int:
    """Return how many branches a `parallel` waits for."""
    join = step.config.get("join", "all")
    return {"all": len(step.branches), "any": 1}.get(join, join)


def latest_results(step: StepDefinition, path: str, state: RunState) -> list[dict[str, Any]]:
    """Return the outputs of the last step of each iteration of a `foreach`."""
    last = step.body[-1]
    known = [state.step(f"{path}[{index}].{last.id}") for index in range(len(_items(path, state)))]
    return [{**last.outputs, **(each.output or {}), "state": each.status.value} for each in known]


def _trail(state: RunState, definition: WorkflowDefinition) -> Iterator[Begin | Turn | Overrun | End]:
    """Follow a run from its first step to where it stands; the last one is what comes next."""
    visits: dict[str, int] = {}
    position: int | None = 0
    for _ in range(MAX_VISITED):
        if position is None or position == len(definition.steps):
            yield End()
            return
        step = definition.steps[position]
        visits[step.id] = count = visits.get(step.id, 0) + 1
        path = step.id if count == 1 else f"{step.id}#{count}"
        if count > step.max_visits:
            yield Overrun(path, f"{step.id} was come to more than {step.max_visits} times (max_visits)")
            return
        yield Begin(path, step)
        if state.step(path).status in OPEN:
            return
        if step.next and path not in state.transitions:
            yield Turn(path, step)
            return
        position = _following(position, state.transitions.get(path), definition)
    yield Overrun(f"{path}/next", f"the run went through more than {MAX_VISITED} steps")


def _following(position: int, to: str | None, definition: WorkflowDefinition) -> int | None:
    if to is None:
        return position + 1
    return None if to == END else definition.position_of(to)


def _moves_at(place: Begin, state: RunState) -> Iterator[Move]:
    path, step = place.path, place.step
    known = state.step(path)
    if known.is_open:
        yield from (_in_parallel if step.branches else _in_foreach)(path, step, state)
    elif known.status is StepStatus.WAITING:
        yield Awaiting(path, step)
    elif known.status is StepStatus.PENDING or (
        known.status is StepStatus.FAILED and path not in state.failed
    ):
        yield place


def _in_sequence(prefix: str, steps: Iterable[StepDefinition], state: RunState) -> Iterator[Move]:
    for step in steps:
        if state.step(prefix + step.id).status in OPEN:
            yield from _moves_at(Begin(prefix + step.id, step), state)
            return


def _in_parallel(path: str, step: StepDefinition, state: RunState) -> Iterator[Move]:
    prefix = f"{path}."
    joined = [branch.id for branch in step.branches if _is_joined(prefix, branch, state)]
    if len(joined) < needed_of(step):
        for branch in step.branches:
            if not _is_branch_dead(prefix, branch.steps, state):
                yield from _in_sequence(prefix, branch.steps, state)
        return
    rest = [left for branch in step.branches for left in _left_over(prefix, branch.steps, state)]
    if not rest:
        yield Close(path, step, {"branches": joined, "count": len(joined)})
    idle = (left for left in rest if state.step(left.path).is_open or not _is_under_way(left.path, state))
    yield from (LeaveOut(left.path) for left in islice(idle, 1))
    yield from (Awaiting(left.path, left.step) for left in rest if _is_run(state.step(left.path)))


def _in_foreach(path: str, step: StepDefinition, state: RunState) -> Iterator[Move]:
    count, last = len(_items(path, state)), step.body[-1].id
    unfinished = (at for at in range(count) if state.step(f"{path}[{at}].{last}").status in OPEN)
    active = list(islice(unfinished, int(step.config.get("concurrency", 1))))
    if not active:
        yield Close(path, step, {"count": count})
    for index in active:
        yield from _in_sequence(f"{path}[{index}].", step.body, state)


def _left_over(prefix: str, steps: Iterable[StepDefinition], state: RunState) -> Iterator[Begin]:
    """Yield what is not over of a branch that is needed no more; a container after all that is inside."""
    for step in steps:
        path = prefix + step.id
        known = state.step(path)
        inside = [
            left
            for inner, held in (_sequences_in(path, step, state) if known.is_open else ())
            for left in _left_over(inner, held, state)
        ]
        yield from inside
        if not inside and known.status in OPEN and path not in state.failed:
            yield Begin(path, step)


def _sequences_in(
    path: str, step: StepDefinition, state: RunState
) -> Iterator[tuple[str, tuple[StepDefinition, ...]]]:
    """Yield the sequences inside of an open container; of a loop those that have begun."""
    for branch in step.branches:
        yield f"{path}.", branch.steps
    if step.body:
        for index in range(len(_items(path, state))):
            prefix = f"{path}[{index}]."
            if prefix + step.body[0].id in state.steps:
                yield prefix, step.body


def _is_under_way(path: str, state: RunState) -> bool:
    known = state.step(path)
    return known.status in (StepStatus.RUNNING, StepStatus.UNKNOWN) or _is_run(known)


def _is_run(known: StepState) -> bool:
    """Tell whether a step waits for the end of a run of its own, which goes on whoever needs it."""
    return known.status is StepStatus.WAITING and (known.awaited or {}).get("kind") == "run"


def _is_joined(prefix: str, branch: BranchDefinition, state: RunState) -> bool:
    last = state.step(prefix + branch.steps[-1].id)
    return last.status not in OPEN and last.reason != JOINED


def _is_dead(path: str, step: StepDefinition, state: RunState) -> bool:
    """Tell whether a step cannot come to its end, since it or too much inside of it failed for good."""
    if path in state.failed:
        return True
    if not state.step(path).is_open:
        return False
    dead = [_is_branch_dead(prefix, steps, state) for prefix, steps in _sequences_in(path, step, state)]
    return any(dead) if step.body else len(step.branches) - sum(dead) < needed_of(step)


def _is_branch_dead(prefix: str, steps: Iterable[StepDefinition], state: RunState) -> bool:
    return bool(state.failed) and any(_is_dead(prefix + step.id, step, state) for step in steps)


def _scope_inside(
    path: str, state: RunState, definition: WorkflowDefinition, visible: dict[str, str]
) -> Scope:
    loop: dict[str, Any] = {}
    prefix, steps = "", definition.steps
    parts = path.split(".")
    for part, following in zip(parts, [*parts[1:], ""], strict=True):
        segment = _SEGMENT.fullmatch(part)
        if segment is None:
            break
        step, at = next(s for s in steps if s.id == segment["id"]), prefix + segment["visit"]
        if not following:
            _reveal(step, at, state, visible)
        elif segment["index"]:
            index = int(segment["index"])
            loop = {"item": _items(at, state)[index], "index": index}
            prefix, steps = f"{at}[{index}].", step.body
        else:
            prefix, steps = f"{at}.", _branch_with(step, step_id_of(following))
        for sibling in steps if following else ():
            _reveal(sibling, prefix + sibling.id, state, visible)
    return Scope(visible, loop)


def _branch_with(step: StepDefinition, inner_id: str) -> tuple[StepDefinition, ...]:
    return next(branch.steps for branch in step.branches if any(s.id == inner_id for s in branch.steps))


def _reveal(step: StepDefinition, path: str, state: RunState, visible: dict[str, str]) -> None:
    """Let a step be seen once anything happened to it; the insides of a `parallel` once that is over."""
    known = state.step(path)
    if known.status is not StepStatus.PENDING:
        visible[step.id] = path
        if step.branches and not known.is_open:
            _reveal_inside(step, path, visible)


def _reveal_inside(step: StepDefinition, path: str, visible: dict[str, str]) -> None:
    for inner in step.inner if step.branches else ():
        visible[inner.id] = f"{path}.{inner.id}"
        _reveal_inside(inner, visible[inner.id], visible)


def _places_at(path: str, step: StepDefinition, state: RunState) -> Iterator[Begin]:
    yield Begin(path, step)
    loops = [f"{path}[{index}]." for index in range(len(_items(path, state)))]
    for prefix in loops if step.body else [f"{path}."]:
        for inner in step.inner:
            yield from _places_at(prefix + inner.id, inner, state)


def _items(path: str, state: RunState) -> list[Any]:
    return list(state.step(path).arguments.get("items", ()))
