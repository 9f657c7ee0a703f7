"""Runs as they leave this app; no framework."""

from __future__ import annotations

import datetime as dt
import enum
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from apps.resilience.errors import GoneError


class RunStatus(enum.StrEnum):
    """How a run stands.

    `waiting` needs a human, because an effect's outcome is unknown; `sleeping` is at a wait step: until a
    time, a signal or an approval, or until the run of a subworkflow step ends; `paused` rests until a human
    resumes it.
    """

    RUNNING = "running"
    SLEEPING = "sleeping"
    COMPENSATING = "compensating"
    WAITING = "waiting"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    COMPENSATED = "compensated"
    COMPENSATION_FAILED = "compensation_failed"
    CANCELLED = "cancelled"

    @property
    def is_end(self) -> bool:
        """Tell whether nothing happens any more unless somebody asks."""
        return self not in (
            RunStatus.RUNNING,
            RunStatus.SLEEPING,
            RunStatus.COMPENSATING,
            RunStatus.WAITING,
            RunStatus.PAUSED,
        )


class Priority(enum.StrEnum):
    """Which of a tenant's due runs go first; a lower one goes first once it has waited long enough."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"

    @property
    def rank(self) -> int:
        """Return its place: 0 goes first."""
        return list(Priority).index(self)

    @classmethod
    def of_rank(cls, rank: int) -> Priority:
        """Return the priority of a place."""
        return list(cls)[rank]


class StepStatus(enum.StrEnum):
    """How a step stands.

    `waiting` is for a time, a signal, an approval or another run; `stuck` means that undoing it failed,
    `unknown` that its outcome was lost.
    """

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"
    UNDONE = "undone"
    STUCK = "stuck"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Origin:
    """What led to a run: the run whose step it is, if any, and how many runs in all."""

    parent_run_id: UUID | None = None
    parent_path: str = ""
    depth: int = 0


@dataclass(frozen=True)
class StepView:
    """One step of a run; `id` is its path, `reason` why it was left out."""

    id: str
    type: str
    state: StepStatus
    tool: str = ""
    attempts: int = 0
    duration_ms: int | None = None
    output: dict[str, Any] | None = None
    error: str = ""
    condition: dict[str, Any] | None = None
    undo: dict[str, Any] | None = None
    awaited: dict[str, Any] | None = None
    reason: str = ""
    child_run_id: UUID | None = None


@dataclass(frozen=True)
class RunView:
    """One run with its steps, in the order of the workflow; `undoable` are in the order of undoing."""

    id: UUID
    workflow: str
    version: str
    hash: str
    status: RunStatus
    input: dict[str, Any]
    output: dict[str, Any] | None
    error: str
    conversation_id: UUID | None
    message_id: UUID | None
    created_at: dt.datetime
    finished_at: dt.datetime | None
    due_at: dt.datetime | None
    priority: Priority = Priority.NORMAL
    has_history: bool = True  # False: it was removed for its age, and with it the steps
    is_cancelling: bool = False
    parent_run_id: UUID | None = None
    parent_step: str = ""
    is_pausing: bool = False
    replay_of: UUID | None = None
    steps: list[StepView] = field(default_factory=list)
    undoable: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class RetryPlan:
    """What a retry from a step would do.

    `again` are the steps that are done once more, `undone_first` those of them that are undone before, in
    this order, and `repeated` those whose effect happens twice, since nothing tells how to undo it.
    """

    step: str
    again: list[str]
    undone_first: list[str]
    repeated: list[str]
    has_answered: bool


@dataclass(frozen=True)
class AttemptView:
    """One attempt at a step or at its undoing, and how it ended."""

    number: int
    outcome: str
    at: dt.datetime
    error: str = ""


@dataclass(frozen=True)
class TimelineStep:
    """One doing of a step; `turn` counts them, `offers` are what may be asked for now."""

    step: str
    turn: int
    type: str
    tool: str
    state: StepStatus
    reason: str = ""
    began_at: dt.datetime | None = None
    ended_at: dt.datetime | None = None
    duration_ms: int | None = None
    arguments: dict[str, Any] | None = None
    output: dict[str, Any] | None = None
    error: str = ""
    condition: dict[str, Any] | None = None
    attempts: list[AttemptView] = field(default_factory=list)
    undone_by: str = ""
    undone_at: dt.datetime | None = None
    undo_error: str = ""
    undo_attempts: list[AttemptView] = field(default_factory=list)
    settled_by: str = ""
    child_run_id: UUID | None = None
    offers: list[str] = field(default_factory=list)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_microusd: int = 0

    @property
    def cost_cents(self) -> float:
        """The cost in cents of a US dollar."""
        return self.cost_microusd / 10_000


@dataclass(frozen=True)
class Timeline:
    """A run's steps in the order in which they began, with what they have cost together."""

    run_id: UUID
    status: RunStatus
    is_masked: bool
    steps: list[TimelineStep]
    prompt_tokens: int
    completion_tokens: int
    cost_microusd: int

    @property
    def cost_cents(self) -> float:
        """The cost in cents of a US dollar."""
        return self.cost_microusd / 10_000


@dataclass(frozen=True)
class RunEventView:
    """One recorded event of a run."""

    seq: int
    kind: str
    data: dict[str, Any]
    created_at: dt.datetime


class HistoryRemoved(GoneError):
    """The events of a run are not kept any more, so nothing can be asked of it."""

    def __init__(self) -> None:
        super().__init__(
            "The steps and events of this run were removed for their age. What came out of it is kept; "
            "start a new run to do it again."
        )
