"""Rehearsals as they leave this app; no framework."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from apps.resilience.errors import ConflictError, DomainError


class RehearsalKind(enum.StrEnum):
    DRY_RUN = "dry_run"
    SIMULATION = "simulation"


class RehearsalStatus(enum.StrEnum):
    """How a rehearsal stands; `stopped` is one that the daily bound has ended."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    STOPPED = "stopped"

    @property
    def is_open(self) -> bool:
        return self in (RehearsalStatus.QUEUED, RehearsalStatus.RUNNING)


class Against(enum.StrEnum):
    """What a draft is compared with: what was recorded, or the published version rehearsed beside it."""

    RECORDED = "recorded"
    REHEARSED = "rehearsed"


class How(enum.StrEnum):
    """Where a step's result comes from.

    `executed` really ran, since it only reads; `recorded` is what the same call gave in the original run;
    `assumed` is made up of the declared outputs, as if the effect had succeeded.
    """

    EXECUTED = "executed"
    RECORDED = "recorded"
    ASSUMED = "assumed"
    NONE = ""


class Change(enum.StrEnum):
    """What a list of cases may be asked for."""

    CHANGED = "changed"
    ANSWER = "answer"
    ROUTE = "route"
    STEPS = "steps"
    CALLS = "calls"
    FAILURE = "failure"
    MENDED = "mended"
    ESCALATION = "escalation"
    SAME = "same"


class CaseStatus(enum.StrEnum):
    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"  # it could not be rehearsed at all


class GateNotPassed(ConflictError):
    """Publishing is refused by the replay gate; `members` carry its checks."""

    title = "The replay gate is not passed"


class BoundReached(DomainError):
    """What rehearsals may cost in a day is used up."""

    status = 429
    title = "The daily bound of rehearsals is reached"


@dataclass(frozen=True, kw_only=True)
class StepOutcome:
    """What happened, or would have happened, at one step; arguments and outputs are shortened and masked."""

    id: str
    type: str
    tool: str = ""
    effect: str = "none"
    state: str = "pending"
    how: str = ""
    condition: dict[str, Any] | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    output: dict[str, Any] | None = None
    error: str = ""
    attempts: int = 0
    duration_ms: int | None = None
    undo: dict[str, Any] | None = None

    @property
    def is_call(self) -> bool:
        """Tell whether the step did, or would have done, something that others see."""
        return self.effect != "none" and self.attempts > 0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended, recorded or rehearsed, in a form that can be stored and compared.

    `duration_ms` counts the steps that only read, which really run in a rehearsal too.
    """

    status: str
    error: str = ""
    text: str = ""
    sources: list[dict[str, Any]] = field(default_factory=list)
    intent: str | None = None
    confidence: float | None = None
    tier: str | None = None
    escalated: bool = False
    knows: bool = False
    fallback: dict[str, Any] | None = None
    model: str = ""
    steps: list[StepOutcome] = field(default_factory=list)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_microusd: int = 0
    duration_ms: int = 0

    @property
    def is_well(self) -> bool:
        return self.status == "completed"

    @property
    def cost_text(self) -> str:
        return dollars(self.cost_microusd)

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    @property
    def intercepted(self) -> list[StepOutcome]:
        """Name the calls that were not made."""
        return [step for step in self.steps if step.how in (How.RECORDED, How.ASSUMED) and step.is_call]

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Outcome:
        return cls(**{**data, "steps": [StepOutcome(**step) for step in data["steps"]]})


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What differs between two outcomes; `escalation` is +1 where only the later one escalates, or -1."""

    answer_changed: bool = False
    route_changed: bool = False
    steps_changed: bool = False
    calls_changed: bool = False
    is_new_failure: bool = False
    is_mended: bool = False
    escalation: int = 0

    @property
    def rank(self) -> int:
        """Weigh the change: what matters most comes first in a list."""
        weighed = (
            (self.is_new_failure, 64), (self.route_changed, 32), (self.escalation != 0, 16),
            (self.answer_changed, 8), (self.calls_changed, 4), (self.steps_changed, 2), (self.is_mended, 1),
        )  # fmt: skip
        return sum(weight for holds, weight in weighed if holds)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a simulation has shown so far."""

    cases: int = 0
    failed: int = 0
    same_answers: int = 0
    changed_routes: int = 0
    changed_calls: int = 0
    changed_steps: int = 0
    new_failures: int = 0
    mended: int = 0
    more_escalations: int = 0
    fewer_escalations: int = 0
    tokens_before: int = 0
    tokens_after: int = 0
    cost_before_microusd: int = 0
    cost_after_microusd: int = 0
    duration_before_ms: int = 0
    duration_after_ms: int = 0

    @property
    def same_answers_percent(self) -> float:
        return _percent(self.same_answers, self.cases)

    @property
    def changed_routes_percent(self) -> float:
        return _percent(self.changed_routes, self.cases)

    @property
    def cost_increase_percent(self) -> float:
        """Tell by how much the cost grows; by tokens where neither costs anything."""
        if self.cost_before_microusd or self.cost_after_microusd:
            return _growth(self.cost_before_microusd, self.cost_after_microusd)
        return _growth(self.tokens_before, self.tokens_after)

    def as_dict(self) -> dict[str, Any]:
        names = ("same_answers_percent", "changed_routes_percent", "cost_increase_percent")
        return {**dataclasses.asdict(self), **{name: getattr(self, name) for name in names}}


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which recorded runs are rehearsed: the newest `last` of those that the rest lets through."""

    last: int = 50
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    intent: str = ""
    only_escalated: bool = False


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a simulation would take, by the tokens that its runs have recorded and the price book."""

    cases: int
    prompt_tokens: int
    completion_tokens: int
    cost_microusd: int
    left_microusd: int
    left_cases: int

    @property
    def cost_text(self) -> str:
        return dollars(self.cost_microusd)

    @property
    def left_text(self) -> str:
        return dollars(self.left_microusd)

    @property
    def is_within_bound(self) -> bool:
        return self.cases <= self.left_cases and self.cost_microusd <= self.left_microusd


@dataclass(frozen=True, kw_only=True)
class RehearsalView:
    id: UUID
    kind: RehearsalKind
    workflow: str
    version: int | None
    hash: str
    against: Against
    baseline_hash: str
    status: RehearsalStatus
    selection: dict[str, Any]
    total: int
    done: int
    cost_microusd: int
    estimate_microusd: int
    actor: str
    error: str
    summary: Summary
    created_at: dt.datetime
    finished_at: dt.datetime | None

    @property
    def cost_text(self) -> str:
        return dollars(self.cost_microusd)

    @property
    def estimate_text(self) -> str:
        return dollars(self.estimate_microusd)

    @property
    def progress_percent(self) -> int:
        return 100 * self.done // self.total if self.total else 100


@dataclass(frozen=True, kw_only=True)
class CaseView:
    """One case; `before` and `after` are None until it is done."""

    id: UUID
    position: int
    run_id: UUID | None
    conversation_id: UUID | None
    status: CaseStatus
    error: str
    input: dict[str, Any]
    before: Outcome | None
    after: Outcome | None
    changes: Comparison
    cost_microusd: int

    @property
    def question(self) -> str:
        return str(self.input.get("text", ""))

    @property
    def cost_text(self) -> str:
        return dollars(self.cost_microusd)


@dataclass(frozen=True, kw_only=True)
class GateRules:
    """What a draft has to show before it is published; `workflow` is empty for the company's default."""

    workflow: str = ""
    is_required: bool = False
    min_cases: int = 20
    max_age_days: int = 7
    max_new_failures: int = 0
    max_changed_routes_percent: float = 5.0
    max_cost_increase_percent: float = 25.0


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line of the gate's checklist; `fix` says how to get there."""

    name: str
    is_met: bool
    text: str
    fix: str = ""


@dataclass(frozen=True, kw_only=True)
class GateState:
    """How a draft stands before the gate."""

    rules: GateRules
    applies: bool
    reason: str
    digest: str = ""
    checks: list[Check] = field(default_factory=list)
    rehearsal_id: UUID | None = None

    @property
    def is_passed(self) -> bool:
        return not self.applies or all(check.is_met for check in self.checks)


def dollars(microusd: int) -> str:
    """Write micro-dollars as dollars, to the last that is not nothing."""
    return f"${microusd / 1e6:.2f}" if microusd % 10_000 == 0 else f"${microusd / 1e6:.4f}"


def _percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 1) if whole else 0.0


def _growth(before: int, after: int) -> float:
    if before:
        return round(100 * (after - before) / before, 1)
    return 100.0 if after else 0.0
