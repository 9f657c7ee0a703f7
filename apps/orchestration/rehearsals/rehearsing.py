"""Run a workflow by the real engine with every effect intercepted; its history is kept in memory only."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from uuid_utils.compat import uuid7

from apps.orchestration.definitions.contracts import (
    UNDO_CHILD,
    Effect,
    StepDefinition,
    StepType,
    WorkflowDefinition,
)
from apps.orchestration.definitions.language.types import Type
from apps.orchestration.engine import decisions as d
from apps.orchestration.engine.execution import Execution
from apps.orchestration.engine.journal import Journal, plain
from apps.orchestration.engine.leases import Lease
from apps.orchestration.engine.state import Fact, Kind, fold
from apps.orchestration.models import AgentRun
from apps.orchestration.rehearsals.contracts import How, Outcome
from apps.orchestration.rehearsals.outcomes import describe
from apps.orchestration.rehearsals.recording import FALLBACK, STEP, UNDO, Call, Place, Recording
from apps.orchestration.steps.context import Action, Output, StepContext, StepFailed
from apps.orchestration.steps.escalation import plan_handover
from apps.orchestration.tools.specs import TOOLS
from apps.tenants.contracts import TenantRef

MAX_TURNS = 2000
# What is not among these is not performed: a command that is new must be thought about here first.
REHEARSED = (
    d.Record, d.Execute, d.Together, d.Linger, d.BeginWait, d.BeginChild, d.Await, d.RunFallback,
    d.UndoStep, d.UndoChild,
)  # fmt: skip
# What a successful call gives where the zero of its type would mean a failure.
SUCCESS: Mapping[str, Mapping[str, Any]] = {"http_request": {"status": 200}}


class Abandoned(Exception):
    """A rehearsal that does not come to its end; says why."""


@dataclass
class MemoryJournal(Journal):
    """A history that is stored nowhere; its events are told to nobody."""

    @contextmanager
    def commit(self, *, begins_something: bool = False, **changes: Any) -> Iterator[dict[str, Any]]:
        """Keep the waiting facts unless the block raises."""
        stored = (self.state, list(self.waiting))
        try:
            yield changes
        except BaseException:
            self.state, self.waiting = stored
            raise
        self.waiting, self.events = [], []


@dataclass
class Rehearsal(Execution):
    """The engine's own execution, except that effects are answered instead of done and nothing is waited for.

    An effect is answered by what the same call gave in the original run, else as if it had succeeded.
    """

    recording: Recording = field(default_factory=Recording)
    calls: dict[Place, Call] = field(default_factory=dict)
    role: str = STEP
    turns: int = 0

    def _rests(self, command: d.Command, is_fresh: bool) -> bool:
        self.turns += 1
        if self.turns > MAX_TURNS:
            raise Abandoned(f"it does not come to its end in {MAX_TURNS} turns")
        if self.stop_at is not None and time.monotonic() > self.stop_at:
            raise Abandoned("it took longer than a rehearsal may")
        return isinstance(command, d.Rest)

    def _perform(self, command: d.Command, is_fresh: bool) -> None:
        if isinstance(command, d.Finish):
            self.journal.note(Kind.RUN_ENDED, {"status": command.status.value})
        elif isinstance(command, REHEARSED):
            super()._perform(command, is_fresh=True)  # no pause before a retry is waited out
        else:
            raise Abandoned(f"{type(command).__name__} cannot be rehearsed")

    def _fall_back(self, command: d.RunFallback) -> None:
        self.role = FALLBACK
        super()._fall_back(command)
        self.role = STEP

    def _undo(self, command: d.UndoStep) -> None:
        self.role = UNDO
        super()._undo(command)
        self.role = STEP

    def _wait(self, command: d.BeginWait | d.BeginChild | d.Await | d.UndoChild | d.Linger) -> None:
        match command:
            case d.BeginChild():
                self._answer_child(command)
            case d.UndoChild(step_id, attempt):
                self.calls[UNDO, step_id] = Call(UNDO_CHILD, {}, how=How.ASSUMED)
                base = {"step": step_id, "action": UNDO_CHILD, "attempt": attempt}
                self.journal.note(Kind.STEP_UNDONE, {**base, "output": {}})
            case d.Await():
                self._end_wait(command)
            case d.Linger(waits) if waits:
                self._end_wait(waits[0])
            case _:
                super()._wait(command)

    def _do_together(self, commands: tuple[d.Execute | d.Await, ...], is_fresh: bool) -> None:
        waits = [command for command in commands if isinstance(command, d.Await)]
        for wait in waits:
            self._end_wait(wait)
        if not waits:
            super()._do_together(commands, is_fresh)

    def _answer_child(self, command: d.BeginChild) -> None:
        """Answer for a run below this one, which is not begun."""
        path, step, arguments = command.path, command.step, plain(command.arguments)
        found = self.recording.find((STEP, path), step.workflow, arguments)
        self.calls[STEP, path] = Call(step.workflow, arguments, how=How.RECORDED if found else How.ASSUMED)
        base = {"step": path, "attempt": command.attempt, "condition": command.condition}
        if found is not None and found.output is None:
            self.journal.note(Kind.STEP_FAILED, {**base, "error": found.error, "is_final": True})
            return
        output = dict(found.output or {}) if found else dict(step.outputs)
        self.journal.note(Kind.STEP_COMPLETED, {**base, "output": output})

    def _end_wait(self, command: d.Await) -> None:
        """Answer a wait at once, by what the same one was answered with."""
        path, awaited = command.path, command.awaited
        known = self.recording.find_answer(path, awaited)
        how = How.ASSUMED if known is None else How.RECORDED
        output = _assumed_answer(awaited) if known is None else dict(known)
        self.calls[STEP, path] = Call("", {awaited["kind"]: awaited["what"]}, output, how=how)
        base = {"step": path, "attempt": command.attempt}
        self.journal.note(Kind.STEP_COMPLETED, {**base, "output": output})

    def _attempt(
        self,
        tool: str,
        effect: Effect,
        action: Action,
        context: StepContext,
        completed: Callable[[Output], None],
        failed: Callable[[str, bool], None],
        lost: Callable[[], None] | None = None,
    ) -> None:
        """Do it without a transaction: nothing is written."""

        def work() -> None:
            completed(self._call_out(tool, effect, action, context))

        self._note_what_fails(context.step_id, Effect.NONE, work, failed, lost)

    def _call_out(self, tool: str, effect: Effect, action: Action, context: StepContext) -> Output:
        """Let what only reads act, and answer for everything else; every action is called from here."""
        place, arguments = (self.role, context.step_id), plain(context.arguments)
        is_reading = effect is Effect.NONE
        # What another system was asked for then is not asked for again.
        found = (
            None if is_reading and not _asks_outside(tool) else self.recording.find(place, tool, arguments)
        )
        how = How.RECORDED if found else How.EXECUTED if is_reading else How.ASSUMED
        self.calls[place] = Call(tool, arguments, how=how)
        act = action if how is How.EXECUTED else self._answer(tool, found)
        return super()._call_out(tool, Effect.NONE, act, context)

    def _answer(self, tool: str, found: Call | None) -> Action:
        step_of = self.definition.step
        is_step = self.role == STEP

        def answer(context: StepContext) -> Output:
            if found is None:
                return assume_output(step_of(context.step_id) if is_step else None, tool, context)
            if found.output is None:
                raise StepFailed(found.error, is_retryable=False)
            return dict(found.output)

        return answer


def assume_output(step: StepDefinition | None, tool: str, context: StepContext) -> Output:
    """Make what an effect would give if it succeeded: from its declared outputs and its arguments."""
    if step is not None and step.type is StepType.ESCALATION:
        return plan_handover(context)
    declared: Mapping[str, Type] = TOOLS[tool].outputs if tool in TOOLS else {}
    zeros = {**(step.outputs if step else {}), **{name: kind.zero() for name, kind in declared.items()}}
    done = {name: True for name, zero in zeros.items() if zero is False and name.startswith("is_")}
    told = {name: value for name, value in context.arguments.items() if name in zeros}
    return {**zeros, **done, **told, **SUCCESS.get(tool, {})}


def rehearse(
    *,
    tenant: TenantRef,
    definition: WorkflowDefinition,
    given: Mapping[str, Any],
    settings: d.Settings,
    recording: Recording | None = None,
    budget_s: float,
) -> Outcome:
    """Run a definition on an input without any effect; must not be called inside a transaction."""
    run = AgentRun(id=uuid7(), tenant_id=tenant.id, workflow_name=definition.name)
    begun = Fact(Kind.RUN_STARTED, {"input": plain(given)})
    journal = MemoryJournal(tenant, run, Lease(tenant.id, run.id, epoch=0), fold([begun]))
    budget_s = min(budget_s, definition.timeout_s or budget_s)
    rehearsal = Rehearsal(
        journal,
        # A rehearsal has no row by which the database could tell how long it has taken.
        dataclasses.replace(definition, timeout_s=None),
        settings,
        stop_at=time.monotonic() + budget_s,
        recording=recording or Recording(),
    )
    error = ""
    try:
        rehearsal.run()
    except Abandoned as abandoned:
        error = str(abandoned)
    return describe(journal.state, definition, rehearsal.calls, error=error)


def _asks_outside(tool: str) -> bool:
    """Tell whether a tool that only reads reads elsewhere than in the product: by a GET, or an MCP server."""
    return bool(tool) and (tool not in TOOLS or TOOLS[tool].effect is not Effect.NONE)


def _assumed_answer(awaited: Mapping[str, Any]) -> dict[str, Any]:
    """Answer a wait as if it went well: the time has passed, the signal came, the approval was given."""
    is_approval = awaited["kind"] == "approval"
    return {"timed_out": False, "approved": is_approval, "by": "", "comment": "", "payload": {}}
