"""Executes a claimed run until it ends, sleeps or is lost."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from apps.conversations.contracts import MessageView
from apps.orchestration import events, metrics
from apps.orchestration.definitions.contracts import Effect, StepType, WorkflowDefinition
from apps.orchestration.engine import decisions as d
from apps.orchestration.engine.finish import finish
from apps.orchestration.engine.journal import CancelArrived, Journal, LeaseLost
from apps.orchestration.engine.state import Kind
from apps.orchestration.engine.waits import begin_wait, end_wait
from apps.orchestration.steps.context import Output, StepContext, StepFailed
from apps.orchestration.steps.registry import find_action, find_lookup
from apps.orchestration.tools.specs import TOOLS
from apps.resilience.errors import DomainError

# A shorter pause is waited out; a longer one the run sleeps through, in the table and not in a thread.
NAP_S = 1.0
# Facts of reading steps are stored at the latest when this much work would be lost with the process.
FLUSH_AFTER_S = 1.0
log = structlog.get_logger(__name__)


def effect_key(tenant_id: object, run_id: object, path: str, generation: int = 0) -> str:
    """Name an effect for ever: by tenant, run and place in the workflow, never by the attempt.

    `generation` counts how often somebody has asked for what was done to be done again.
    """
    return hashlib.sha256(f"{tenant_id}/{run_id}/{path}/{generation}".encode()).hexdigest()[:40]


@dataclass
class Execution:
    """One claim's work on a run."""

    journal: Journal
    definition: WorkflowDefinition
    settings: Mapping[str, Mapping[str, Any]]
    emit: Callable[[str], None] | None = None
    stop_at: float | None = None
    on_stop: Callable[[], None] = lambda: None
    may_go_on: Callable[[], bool] = lambda: True
    reply: MessageView | None = None  # what the run has said, once that is stored
    is_asleep: bool = False

    def run(self) -> None:
        """Go on until the run rests; raises nothing but what is a defect."""
        is_fresh = True
        try:
            while True:
                command = d.decide(self.journal.state, self.definition, self.settings)
                if self._rests(command, is_fresh):
                    return
                is_fresh = False
                # A wish to cancel or pause is heeded at the next turn; what was to begin has not begun.
                with contextlib.suppress(CancelArrived):
                    self._perform(command)
        except LeaseLost:
            log.info("run_left_to_another", run_id=str(self.journal.run.id))

    def _rests(self, command: d.Command, is_fresh: bool) -> bool:
        """Stop before a command when the run has to sleep, or this process wants to hand it on."""
        if isinstance(command, d.Rest):
            self.journal.flush()
            return True
        if self.is_asleep:
            return True
        if self.journal.is_pause_requested and self.journal.pause():
            return True
        delay_s = getattr(command, "delay_s", 0.0)
        # A fresh claim of a sleeping run means that its time has come.
        if delay_s > NAP_S and not is_fresh:
            self.journal.flush(due_in_s=delay_s, lease_owner="")
            return True
        if delay_s and not is_fresh:
            time.sleep(delay_s)
        if isinstance(command, d.Finish):
            return False
        is_over = self.stop_at is not None and time.monotonic() > self.stop_at
        if not is_over and self.may_go_on():
            return False
        self.journal.flush(due_in_s=0.0, lease_owner="")
        if is_over:
            self.on_stop()
        return True

    def _perform(self, command: d.Command) -> None:
        journal = self.journal
        if journal.is_cancel_requested and not journal.state.is_cancelling:
            journal.note(Kind.CANCEL_REQUESTED, {})
            return
        if journal.waiting and time.monotonic() - journal.oldest_waiting > FLUSH_AFTER_S:
            journal.flush()
        match command:
            case d.Record(fact):
                journal.note(fact.kind, dict(fact.data))
            case d.Execute():
                self._execute(command)
            case d.BeginWait() | d.Await():
                self._wait(command)
            case d.LookUp():
                self._look_up(command)
            case d.RunFallback():
                self._fall_back(command)
            case d.UndoStep():
                self._undo(command)
            case d.Finish(status):
                self.reply = finish(journal, self.definition, status)

    def _wait(self, command: d.BeginWait | d.Await) -> None:
        if isinstance(command, d.BeginWait):
            begin_wait(self.journal, command)
        else:
            self.is_asleep = end_wait(self.journal, command)

    def _context(self, path: str, step_id: str, arguments: Mapping[str, Any], **more: Any) -> StepContext:
        journal = self.journal
        outputs = {name: journal.state.step(name).output or {} for name in journal.state.done}
        return StepContext(
            tenant=journal.tenant,
            run_id=journal.run.id,
            step_id=step_id,
            effect_key=effect_key(
                journal.tenant.id, journal.run.id, path, journal.state.generations.get(step_id, 0)
            ),
            input=journal.state.input,
            arguments=arguments,
            outputs=outputs,
            emit=self.emit,
            **more,
        )

    def _execute(self, command: d.Execute) -> None:
        step = command.step
        base = {"step": step.id, "attempt": command.attempt}
        condition = {"condition": command.condition} if command.condition else {}
        context = self._context(
            command.path, step.id, command.arguments, model=step.model, timeout_s=step.timeout_s
        )
        if step.effect not in (Effect.NONE, Effect.TRANSACTIONAL) and not command.is_repeat:
            with self.journal.commit(begins_something=True):
                self.journal.note(Kind.STEP_INTENDED, {**base, "arguments": command.arguments, **condition})
        started = time.perf_counter()

        def completed(output: Output) -> None:
            duration_ms = round((time.perf_counter() - started) * 1000)
            data = {**base, "output": output, "duration_ms": duration_ms, **condition}
            self.journal.note(Kind.STEP_COMPLETED, data, *self._step_events(command, output, duration_ms))

        def failed(error: str, is_retryable: bool) -> None:
            is_final = not is_retryable or command.attempt >= step.retry.max_attempts
            retry_in_s = 0.0 if is_final else step.retry.delay_s(command.attempt)
            data = {**base, "error": error, "is_final": is_final, "retry_in_s": retry_in_s, **condition}
            self.journal.note(Kind.STEP_FAILED, data)

        self._attempt(step.tool, step.effect, find_action(step), context, completed, failed)
        metrics.observe_step(step.type, step.tool, time.perf_counter() - started)

    def _attempt(
        self,
        tool: str,
        effect: Effect,
        action: Callable[[StepContext], Output],
        context: StepContext,
        completed: Callable[[Output], None],
        failed: Callable[[str, bool], None],
    ) -> None:
        """Do the work and note its result; what fails is noted, what is lost is raised."""
        if not self.settings.get(tool, {}).get("is_enabled", True):
            failed(f"the tool {tool} is switched off", False)
            return
        if effect is not Effect.NONE and not self.journal.lease.may_begin_effect():
            raise LeaseLost
        try:
            if effect is Effect.TRANSACTIONAL:
                with self.journal.commit(begins_something=True):
                    completed(action(context))
                return
            completed(action(context))
        except (LeaseLost, CancelArrived):
            raise
        except StepFailed as error:
            failed(str(error), error.is_retryable)
        except DomainError as error:
            failed(error.detail, error.status >= 500)
        except Exception as error:
            log.warning("step_raised", run_id=str(context.run_id), step=context.step_id, exc_info=True)
            failed(f"{type(error).__name__}: {error}"[:500], True)
        if effect in (Effect.LOOKUP, Effect.NEITHER):
            self.journal.flush()

    def _step_events(self, command: d.Execute, output: Output, duration_ms: int) -> list[Any]:
        run, step = self.journal.run, command.step
        carried: dict[str, Any] = {
            "tenant_id": self.journal.tenant.id, "run_id": run.id, "conversation_id": run.conversation_id,
        }  # fmt: skip
        told: list[Any] = [
            events.StepCompleted(
                **carried, step=step.id, step_type=step.type, duration_ms=duration_ms, attempt=command.attempt
            )
        ]
        if step.type is StepType.ROUTER:
            names = ("intent", "confidence", "tier", "escalate", "model_version")
            told.append(events.RouteDecided(**carried, **{name: output[name] for name in names}))
        return told

    def _look_up(self, command: d.LookUp) -> None:
        """Ask for an effect whose outcome was lost; when it never happened, execute it."""
        context = self._context(command.path, command.step.id, command.arguments)
        base = {"step": command.step.id, "attempt": command.attempt}
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
        base = {"step": command.step.id, "action": command.action, "reason": self.journal.state.error}
        path = f"{command.step.id}/fallback"
        context = self._context(path, command.step.id, {})

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
