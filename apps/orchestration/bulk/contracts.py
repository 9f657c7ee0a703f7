"""Bulk operations as they leave this package; no framework."""

from __future__ import annotations

import datetime as dt
import enum
from dataclasses import dataclass
from uuid import UUID

MAX_RUNS = 10_000


class BulkAction(enum.StrEnum):
    """What can be done to many runs at once."""

    CANCEL = "cancel"
    RETRY = "retry"
    PAUSE = "pause"
    RESUME = "resume"
    COMPENSATE = "compensate"


class BulkStatus(enum.StrEnum):
    """How an operation stands."""

    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Refusal:
    """A run that could not be steered, and why."""

    run_id: UUID
    reason: str


@dataclass(frozen=True)
class BulkView:
    """A bulk operation with its progress; `refusals` are the first of them."""

    id: UUID
    action: BulkAction
    status: BulkStatus
    total: int
    done: int
    refused: int
    refusals: list[Refusal]
    reason: str
    actor: str
    created_at: dt.datetime
    finished_at: dt.datetime | None

    @property
    def left(self) -> int:
        """How many runs it has not come to."""
        return self.total - self.done - self.refused

    @property
    def is_running(self) -> bool:
        return self.status is BulkStatus.RUNNING
