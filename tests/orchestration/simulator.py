"""Drives the engine's decisions with fake effects, for one run: what would really happen, in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from apps.orchestration.definitions.contracts import UNDO_CHILD, Effect, WorkflowDefinition
from apps.orchestration.engine import decisions as d
from apps.orchestration.engine.state import Fact, Kind, RunState, fold

Outcome = Callable[[str, int], bool]


@dataclass
class Simulation:
    """`succeeds(path, attempt)` says how an attempt at an effect ends; `crash(turn)` loses its result."""

    definition: WorkflowDefinition
    succeeds: Outcome
    crash: Callable[[int], bool] = lambda turn: False
    cancel_at: int | None = None
    facts: list[Fact] = field(default_factory=list)
    effects: list[str] = field(default_factory=list)
    turn: int = 0

    @property
    def state(self) -> RunState:
        return fold(self.facts)

    def note(self, kind: Kind, **data: Any) -> None:
        self.facts.append(Fact(kind, data))

    def run(self, given: dict[str, Any] | None = None) -> RunState:
        self.note(Kind.RUN_STARTED, input=given or {})
        return self.go_on()

    def go_on(self) -> RunState:
        while not isinstance(command := d.decide(self.state, self.definition), d.Rest):
            self.turn += 1
            assert self.turn < 5000, "the run does not come to its end"
            if self.turn == self.cancel_at and not self.state.is_cancelling:
                self.note(Kind.CANCEL_REQUESTED)
                continue
            self.perform(command)
        return self.state

    def perform(self, command: d.Command) -> None:
        match command:
            case d.Record(fact):
                self.facts.append(fact)
            case d.Execute(step, attempt):
                self.execute(command, step, attempt)
            case d.BeginChild(step, attempt):
                self.begin_child(command, step, attempt)
            case d.Await(step, attempt):
                self.end_child(step, attempt)
            case d.UndoChild():
                self.undo_child(command)
            case d.RunFallback(step, action):
                self.note(Kind.FALLBACK_COMPLETED, step=step.id, action=action, output={"text": "sorry"})
            case d.UndoStep():
                self.undo(command)
            case d.Finish(status):
                self.note(Kind.RUN_ENDED, status=status.value)
            case _:
                raise AssertionError(command)

    def execute(self, command: d.Execute, step: Any, attempt: int) -> None:
        base = {"step": step.id, "attempt": attempt}
        if step.effect is Effect.IDEMPOTENT and not command.is_repeat:
            self.note(Kind.STEP_INTENDED, **base, arguments=dict(command.arguments))
        is_done = self.succeeds(command.path, attempt)
        if is_done and command.path not in self.effects:
            self.effects.append(command.path)
        if self.crash(self.turn) and step.effect is Effect.IDEMPOTENT:
            return
        if is_done:
            self.note(Kind.STEP_COMPLETED, **base, output={"state": "ok"})
        else:
            is_final = attempt >= step.retry.max_attempts
            self.note(Kind.STEP_FAILED, **base, error="no", is_final=is_final, retry_in_s=0.0)

    def begin_child(self, command: d.BeginChild, step: Any, attempt: int) -> None:
        """Begin a child that takes effect, if it is to succeed, before it is looked at again."""
        awaited = {"kind": "run", "what": f"{step.id}/{self.state.retries}/{attempt}", "until": None}
        self.note(Kind.STEP_WAITING, step=step.id, attempt=attempt, awaited=awaited)

    def end_child(self, step: Any, attempt: int) -> None:
        base = {"step": step.id, "attempt": attempt}
        if self.succeeds(step.id, attempt):
            self.effects.append(step.id)
            self.note(Kind.STEP_COMPLETED, **base, output={"run_id": "x"})
            return
        is_final = attempt >= step.retry.max_attempts
        self.note(
            Kind.STEP_FAILED, **base, error="no", is_final=is_final, retry_in_s=0.0, ended="compensated"
        )

    def undo_child(self, command: d.UndoChild) -> None:
        """Ask the child at one turn, and take its end at the next."""
        base = {"step": command.step, "action": UNDO_CHILD, "attempt": command.attempt}
        if not command.is_asked:
            self.note(Kind.UNDO_INTENDED, **base, arguments={})
        elif command.step not in self.effects or self.succeeds(f"{command.step}/undo", command.attempt):
            if command.step in self.effects:
                self.effects.append(f"{command.step}/undo")
            self.note(Kind.STEP_UNDONE, **base, output={})
        else:
            self.note(Kind.UNDO_FAILED, **base, error="no", is_final=True)

    def undo(self, command: d.UndoStep) -> None:
        step, attempt = command.compensation.step, command.attempt
        base = {"step": step, "action": command.compensation.action, "attempt": attempt}
        if command.compensation.effect is Effect.IDEMPOTENT and not command.is_repeat:
            self.note(Kind.UNDO_INTENDED, **base, arguments={})
        is_done = self.succeeds(command.path, attempt)
        if is_done and command.path not in self.effects:
            self.effects.append(command.path)
        if self.crash(self.turn) and command.compensation.effect is Effect.IDEMPOTENT:
            return
        if is_done:
            self.note(Kind.STEP_UNDONE, **base, output={})
        else:
            is_final = attempt >= self.definition.step(step).retry.max_attempts
            self.note(Kind.UNDO_FAILED, **base, error="no", is_final=is_final, retry_in_s=0.0)
