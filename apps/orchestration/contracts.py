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
    time, a signal or an approval, or until the run of a subworkflow step ends.
    """

    RUNNING = "running"
    SLEEPING = "sleeping"
    COMPENSATING = "compensating"
    WAITING = "waiting"
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
    steps: list[StepView] = field(default_factory=list)
    undoable: list[str] = field(default_factory=list)


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
