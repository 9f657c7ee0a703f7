"""Runs as they leave this app; no framework."""

from __future__ import annotations

import datetime as dt
import enum
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID


class RunStatus(enum.StrEnum):
    """How a run stands.

    `waiting` needs a human, because an effect's outcome is unknown; `sleeping` is at a wait step: until a
    time, a signal or an approval; `paused` rests until a human resumes it.
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


class StepStatus(enum.StrEnum):
    """How a step stands.

    `waiting` is for a time, a signal or an approval; `stuck` means that undoing it failed, `unknown` that its
    outcome was lost.
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
class StepView:
    """One step of a run."""

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
    is_cancelling: bool = False
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
class RunEventView:
    """One recorded event of a run."""

    seq: int
    kind: str
    data: dict[str, Any]
    created_at: dt.datetime
