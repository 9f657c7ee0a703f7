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
