"""Does one step, answer or undoing after another, and notes how it came out."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog

from apps.orchestration import events, metrics
from apps.orchestration.definitions.contracts import Effect, WorkflowDefinition
from apps.orchestration.engine import decisions as d
from apps.orchestration.engine.choosing import NAP_S
from apps.orchestration.engine.deadlines import limit_statements
from apps.orchestration.engine.flights import Flights, Landing, action_of
from apps.orchestration.engine.flow import scope_of
from apps.orchestration.engine.journal import CancelArrived, Journal, LeaseLost
from apps.orchestration.engine.state import Kind
from apps.orchestration.engine.telling import step_events
from apps.orchestration.steps.context import OutcomeUnknown, Output, StepContext, StepFailed
from apps.orchestration.steps.registry import find_action, find_lookup
from apps.orchestration.tools.specs import TOOLS
from apps.resilience.errors import DomainError

# A request that nobody answered may still be under way: its effect is looked for once it must have come.
SETTLE_S = 15.0
log = structlog.get_logger(__name__)


def effect_key(tenant_id: object, run_id: object, path: str, generation: int = 0) -> str:
    """Name an effect for ever: by tenant, run and place in the workflow, never by the attempt.

    `generation` counts how often somebody has asked for what was done to be done again.
    """
    return hashlib.sha256(f"{tenant_id}/{run_id}/{path}/{generation}".encode()).hexdigest()[:40]


def _condition(command: d.Execute) -> dict[str, Any]:
    return {"condition": command.condition} if command.condition else {}


@dataclass
class Attempts:
    """What an execution of a run has at hand, and how it does single commands with it."""

    journal: Journal
    definition: WorkflowDefinition
    settings: Mapping[str, Mapping[str, Any]]
    emit: Callable[[str], None] | None = None
    is_asleep: bool = False
    flights: Flights = field(default_factory=Flights)

    def _context(self, path: str, step_id: str, arguments: Mapping[str, Any], **more: Any) -> StepContext:
        journal = self.journal
        given: dict[str, Any] = {"emit": self.emit, **more}
        return StepContext(
            tenant=journal.tenant,
            run_id=journal.run.id,
            step_id=step_id,
            effect_key=effect_key(
                journal.tenant.id, journal.run.id, path, journal.state.generations.get(step_id, 0)
            ),
            input=journal.state.input,
            arguments=arguments,
            outputs=self._outputs(path),
            **given,
        )

    def _outputs(self, path: str) -> dict[str, Mapping[str, Any]]:
        """Collect what was done before, in that order; of other branches and iterations nothing is seen."""
        state = self.journal.state
        if self.definition.is_linear:
            return {name: state.step(name).output or {} for name in state.done}
        seen = set(scope_of(state, self.definition, path).visible.values())
        return {name: state.step(name).output or {} for name in state.done if name in seen}

    def _step_context(self, command: d.Execute, **more: Any) -> StepContext:
        step = command.step
        names = ("model", "tool", "graph", "timeout_s")
        given = {name: getattr(step, name) for name in names} | more
        return self._context(command.path, command.path, command.arguments, **given)

    def _execute(self, command: d.Execute) -> None:
        step = command.step
        context = self._step_context(command)
        if step.effect not in (Effect.NONE, Effect.TRANSACTIONAL):
            self._intend((command,))
        started = time.perf_counter()

        def completed(output: Output) -> None:
            self._completed(command, output, round((time.perf_counter() - started) * 1000))

        self._attempt(
            step.tool,
            step.effect,
            action_of(step),
            context,
            completed,
            partial(self._failed, command),
            partial(self._lose, command),
        )
        metrics.observe_step(step.type, step.tool.partition(".")[0], time.perf_counter() - started)

    def _intend(self, commands: Sequence[d.Execute]) -> None:
        """Note what begins; before anything outside can happen that is stored."""
        intents = [
            {"step": c.path, "attempt": c.attempt, "arguments": c.arguments, **_condition(c)}
            for c in commands
            if not c.is_repeat
        ]
        if all(c.step.effect is Effect.NONE for c in commands):
            self._note_intents(intents)
        elif intents:
            with self.journal.commit(begins_something=True):
                self._note_intents(intents)

    def _note_intents(self, intents: list[dict[str, Any]]) -> None:
        for intent in intents:
            self.journal.note(Kind.STEP_INTENDED, intent)

    def _lose(self, command: d.Execute) -> None:
        """Deal with an effect whose outcome nobody told: look for it after a while, or have a person look."""
        if command.step.effect is Effect.LOOKUP:
            while self.flights.paths:
                self._land(NAP_S)
            self.journal.flush(due_in_s=SETTLE_S, lease_owner="")
            self.is_asleep = True
        else:
            self.journal.note(Kind.STEP_UNKNOWN, {"step": command.path})

    def _completed(self, command: d.Execute, output: Output, duration_ms: int) -> None:
        base = {"step": command.path, "attempt": command.attempt, **_condition(command)}
        told = step_events(self.journal, command, output, duration_ms)
        self.journal.note(Kind.STEP_COMPLETED, {**base, "output": output, "duration_ms": duration_ms}, *told)

    def _failed(self, command: d.Execute, error: str, is_retryable: bool) -> None:
        retry = command.step.retry
        is_final = not is_retryable or command.attempt >= retry.max_attempts
        data = {"step": command.path, "attempt": command.attempt, "error": error, "is_final": is_final}
        retry_in_s = 0.0 if is_final else retry.delay_s(command.attempt)
        self.journal.note(Kind.STEP_FAILED, {**data, "retry_in_s": retry_in_s, **_condition(command)})

    def _attempt(
        self,
        tool: str,
        effect: Effect,
        action: Callable[[StepContext], Output],
        context: StepContext,
        completed: Callable[[Output], None],
        failed: Callable[[str, bool], None],
        lost: Callable[[], None] | None = None,
    ) -> None:
        """Do the work and note its result; what fails is noted, a lost lease is raised.

        `lost` is told of an outcome that is not known, where a repeat might be a second effect; without it
        that is a failure for good.
        """

        def work() -> None:
            completed(self._call_out(tool, effect, action, context))

        def transact() -> None:
            with self.journal.commit(begins_something=True):
                limit_statements(context.timeout_s)
                work()

        act = transact if effect is Effect.TRANSACTIONAL else work
        self._note_what_fails(context.step_id, effect, act, failed, lost)

    def _note_what_fails(
        self,
        path: str,
        effect: Effect,
        work: Callable[[], None],
        failed: Callable[[str, bool], None],
        lost: Callable[[], None] | None,
    ) -> None:
        try:
            work()
        except (LeaseLost, CancelArrived):
            raise
        except OutcomeUnknown as error:
            self._note_lost(effect, str(error), error.is_retryable, failed, lost)
        except StepFailed as error:
            failed(str(error), error.is_retryable)
        except DomainError as error:
            failed(error.detail, error.status >= 500)
        except Exception as error:
            log.warning("step_raised", run_id=str(self.journal.run.id), step=path, exc_info=True)
            self._note_lost(effect, f"{type(error).__name__}: {error}"[:500], True, failed, lost)
        if effect in (Effect.LOOKUP, Effect.NEITHER) and not self.is_asleep:
            self.journal.flush()

    def _note_lost(
        self,
        effect: Effect,
        error: str,
        is_retryable: bool,
        failed: Callable[[str, bool], None],
        lost: Callable[[], None] | None,
    ) -> None:
        if effect in d.REPEATABLE:
            failed(error, is_retryable)
        elif lost is None:
            failed(error, False)
        else:
            log.warning("outcome_unknown", run_id=str(self.journal.run.id), error=error)
            lost()

    def _call_out(
        self,
        tool: str,
        effect: Effect,
        action: Callable[[StepContext], Output],
        context: StepContext,
    ) -> Output:
        """Do what a step or an action does, if it still may; raises LeaseLost, StepFailed."""
        if not self.settings.get(tool, {}).get("is_enabled", True):
            raise StepFailed(f"the tool {tool} is switched off", is_retryable=False)
        if effect is not Effect.NONE and not self.journal.lease.may_begin_effect():
            raise LeaseLost
        return action(context)

    def _look_up(self, command: d.LookUp) -> None:
        """Ask for an effect whose outcome was lost; when it never happened, execute it."""
        context = self._context(command.path, command.path, command.arguments)
        base = {"step": command.path, "attempt": command.attempt}
        try:
            output = find_lookup(command.step)(context)
        except Exception as error:
            log.warning("lookup_failed", run_id=str(context.run_id), step=context.step_id, exc_info=True)
            self.journal.note(Kind.STEP_UNKNOWN, {**base, "error": str(error)[:500]})
            return
        if output is None:
            self.journal.note(Kind.STEP_RESOLVED, {**base, "outcome": "not_done", "by": "lookup"})
        else:
            self.journal.note(
                Kind.STEP_RESOLVED, {**base, "outcome": "done", "output": output, "by": "lookup"}
            )

    def _fall_back(self, command: d.RunFallback) -> None:
        base = {"step": command.path, "action": command.action, "reason": self.journal.state.error}
        context = self._context(f"{command.path}/fallback", command.path, {})

        def completed(output: Output) -> None:
            self.journal.note(Kind.FALLBACK_COMPLETED, {**base, "output": output})

        def failed(error: str, is_retryable: bool) -> None:
            self.journal.note(Kind.FALLBACK_FAILED, {**base, "error": error})

        self._attempt(
            command.action,
            TOOLS[command.action].effect,
            find_action(command.action),
            context,
            completed,
            failed,
        )

    def _undo(self, command: d.UndoStep) -> None:
        compensation, run = command.compensation, self.journal.run
        base = {"step": compensation.step, "action": compensation.action, "attempt": command.attempt}
        if compensation.effect not in (Effect.NONE, Effect.TRANSACTIONAL) and not command.is_repeat:
            with self.journal.commit(begins_something=True):
                self.journal.note(Kind.UNDO_INTENDED, {**base, "arguments": command.arguments})
        context = self._context(command.path, compensation.step, command.arguments, undone=command.undone)

        def completed(output: Output) -> None:
            event = events.StepCompensated(
                tenant_id=run.tenant_id,
                run_id=run.id,
                conversation_id=run.conversation_id,
                step=compensation.step,
                action=compensation.action,
            )
            self.journal.note(Kind.STEP_UNDONE, {**base, "output": output}, event)

        def failed(error: str, is_retryable: bool) -> None:
            retry = self.definition.step(compensation.step).retry
            is_final = not is_retryable or command.attempt >= retry.max_attempts
            retry_in_s = 0.0 if is_final else retry.delay_s(command.attempt)
            self.journal.note(
                Kind.UNDO_FAILED, {**base, "error": error, "is_final": is_final, "retry_in_s": retry_in_s}
            )

        self._attempt(
            compensation.action,
            compensation.effect,
            find_action(compensation.action),
            context,
            completed,
            failed,
        )

    def _land(self, timeout_s: float) -> bool:
        """Note the results of what called out, once there are any; tells whether there were."""
        landings = list(self.flights.land(timeout_s))
        for landing in landings:
            self._note_landing(landing)
        return bool(landings)

    def _note_landing(self, landing: Landing) -> None:
        command, step = landing.command, landing.command.step

        def noted() -> None:
            self._completed(command, landing.result(), round(landing.seconds * 1000))

        failed, lost = partial(self._failed, command), partial(self._lose, command)
        self._note_what_fails(command.path, step.effect, noted, failed, lost)
        metrics.observe_step(step.type, step.tool.partition(".")[0], landing.seconds)
