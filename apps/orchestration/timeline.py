"""What happened in a run, step by step, in the order in which it happened."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from apps.orchestration.contracts import AttemptView, StepStatus, Timeline, TimelineStep
from apps.orchestration.definitions.contracts import StepDefinition, WorkflowDefinition
from apps.orchestration.definitions.selectors import get_definition
from apps.orchestration.engine import decisions as d
from apps.orchestration.engine.family import child_of
from apps.orchestration.engine.receipts import shown_status
from apps.orchestration.engine.state import Fact, Kind, RunState, StepState, fold
from apps.orchestration.masking import mask
from apps.orchestration.models import AgentRun, RunEvent
from apps.orchestration.rewinding import list_offers
from apps.resilience.errors import NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef

ENDINGS = {
    Kind.STEP_COMPLETED: "done",
    Kind.STEP_FAILED: "failed",
    Kind.STEP_UNKNOWN: "unknown",
    Kind.STEP_RESOLVED: "resolved",
}
UNDO_ENDINGS = {Kind.STEP_UNDONE: "done", Kind.UNDO_FAILED: "failed"}


def read_timeline(*, tenant: TenantRef, run_id: UUID, is_masked: bool) -> Timeline:
    """Tell a run's steps in the order in which they began, each as often as it was done.

    With `is_masked` personal data is masked in what went in and came out. Raises NotFoundError.
    """
    with in_tenant(tenant):
        run = AgentRun.objects.filter(id=run_id).first()
        if run is None:
            raise NotFoundError("There is no such run.")
        definition = get_definition(tenant=tenant, digest=run.workflow_hash)
        rows = RunEvent.objects.filter(run_id=run_id).order_by("seq")
        teller = Teller(definition)
        for kind, data, at in rows.values_list("kind", "data", "created_at").iterator():
            teller.take(Fact(Kind(kind), data), at)
    steps = [mask_step(step) for step in teller.tell()] if is_masked else teller.tell()
    return Timeline(
        run_id=run_id,
        status=teller.state.status,
        is_masked=is_masked,
        steps=steps,
        prompt_tokens=sum(step.prompt_tokens for step in steps),
        completion_tokens=sum(step.completion_tokens for step in steps),
        cost_microusd=sum(step.cost_microusd for step in steps),
    )


@dataclass
class Turn:
    """One doing of a step, while its facts are read."""

    step: str
    number: int
    began_at: dt.datetime
    ended_at: dt.datetime | None = None
    arguments: Mapping[str, Any] | None = None
    attempts: list[AttemptView] = field(default_factory=list)
    undo_attempts: list[AttemptView] = field(default_factory=list)
    undone_at: dt.datetime | None = None
    by: str = ""
    closed: tuple[RunState, StepState] | None = None  # how it stood when the run was rewound past it


class Teller:
    """Reads a run's facts in order and tells its steps."""

    def __init__(self, definition: WorkflowDefinition) -> None:
        self.definition, self.state = definition, RunState()
        self._turns: list[Turn] = []
        self._current: dict[str, Turn] = {}

    def take(self, fact: Fact, at: dt.datetime) -> None:
        """Take note of the next fact."""
        if fact.kind is Kind.REWOUND:
            self._close(fact.data["step"])
        elif name := fact.data.get("step"):
            self._note(self._turn(name, at), fact, at)
        self.state = fold([fact], self.state)

    def tell(self) -> list[TimelineStep]:
        """Return the steps in the order of their beginning, then those that the run has not come to."""
        offers = list_offers(self.state, self.definition)
        told = [self._told(turn, offers) for turn in self._turns]
        ahead = [step for step in self.definition.steps if step.id not in self.state.steps]
        return told + [self._ahead(step) for step in ahead]

    def _turn(self, name: str, at: dt.datetime) -> Turn:
        if name not in self._current:
            before = sum(turn.step == name for turn in self._turns)
            turn = Turn(name, before + 1, began_at=at)
            self._current[name] = turn
            self._turns.append(turn)
        return self._current[name]

    def _close(self, step: str) -> None:
        for name in self.state.steps_since(step):
            turn = self._current.pop(name, None)
            if turn is not None:
                turn.closed = (self.state, self.state.step(name))

    def _note(self, turn: Turn, fact: Fact, at: dt.datetime) -> None:
        data = fact.data
        turn.by = str(data.get("by") or turn.by)
        if turn.arguments is None:
            turn.arguments = data.get("arguments") or self._decided_arguments(turn.step)
        if fact.kind in UNDO_ENDINGS:
            turn.undo_attempts.append(self._attempt(data, UNDO_ENDINGS[fact.kind], at))
            turn.undone_at = at if fact.kind is Kind.STEP_UNDONE else None
        elif fact.kind in ENDINGS:
            outcome = str(data.get("outcome") or ENDINGS[fact.kind])
            turn.attempts.append(self._attempt(data, outcome, at))
            turn.ended_at = at
            if turn.step not in self.state.steps:
                turn.began_at = at - dt.timedelta(milliseconds=data.get("duration_ms") or 0)
        elif fact.kind is Kind.STEP_SKIPPED:
            turn.ended_at = at

    def _attempt(self, data: Mapping[str, Any], outcome: str, at: dt.datetime) -> AttemptView:
        number = data.get("attempt") or self.state.step(data["step"]).attempt or 1
        return AttemptView(number, outcome, at, error=str(data.get("error", "")))

    def _decided_arguments(self, name: str) -> Mapping[str, Any] | None:
        """Work out what a step was given whose facts do not say so, as it only read."""
        try:
            command = d.decide(self.state, self.definition)
        except Exception:
            return None
        together = command.commands if isinstance(command, d.Together) else (command,)
        given = {getattr(one, "path", ""): getattr(one, "arguments", None) for one in together}
        return given.get(name)

    def _told(self, turn: Turn, offers: dict[str, list[str]]) -> TimelineStep:
        run, known = turn.closed or (self.state, self.state.step(turn.step))
        output = dict(known.output) if known.output is not None else None
        defined = _defined(self.definition, turn.step)
        return TimelineStep(
            step=turn.step,
            turn=turn.number,
            type=defined.type.value if defined else "",
            tool=defined.tool if defined else "",
            state=known.status if turn.closed else shown_status(run, turn.step),
            reason=_reason(known, turn),
            child_run_id=UUID(child) if (child := child_of(known)) else None,
            began_at=turn.began_at,
            ended_at=turn.ended_at,
            duration_ms=known.duration_ms,
            arguments=dict(turn.arguments) if turn.arguments else None,
            output=output,
            error=known.error,
            condition=dict(known.condition) if known.condition else None,
            attempts=turn.attempts,
            undone_by=known.undo.action,
            undone_at=turn.undone_at,
            undo_error=known.undo.error,
            undo_attempts=turn.undo_attempts,
            settled_by=turn.by,
            offers=[] if turn.closed else offers.get(turn.step, []),
            **_cost(output),
        )

    def _ahead(self, step: StepDefinition) -> TimelineStep:
        state = shown_status(self.state, step.id)
        reason = "The run ended before it came to this." if state is StepStatus.SKIPPED else ""
        return TimelineStep(step.id, 1, step.type.value, step.tool, state, reason)


def mask_step(step: TimelineStep) -> TimelineStep:
    """Mask the personal data in what a step was given, gave and said."""
    hidden = ("arguments", "output", "error", "undo_error", "condition", "reason")
    changes = {name: mask(getattr(step, name)) for name in hidden}
    for name in ("attempts", "undo_attempts"):
        changes[name] = [replace(attempt, error=mask(attempt.error)) for attempt in getattr(step, name)]
    return replace(step, **changes)


def _reason(known: StepState, turn: Turn) -> str:
    if known.status is StepStatus.SKIPPED and known.condition:
        return f"Not {known.condition['text']}"
    if known.reason:
        return f"Left out: {known.reason}."
    return f"Settled by {turn.by}" if turn.by else ""


def _defined(definition: WorkflowDefinition, step_id: str) -> StepDefinition | None:
    try:
        return definition.step(step_id)
    except KeyError:
        return None


def _cost(output: Mapping[str, Any] | None) -> dict[str, int]:
    names = ("prompt_tokens", "completion_tokens", "cost_microusd")
    return {name: int((output or {}).get(name) or 0) for name in names}
