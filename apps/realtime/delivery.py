"""Ordered delivery of one conversation to one socket: a state machine without input or output."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

MAX_REPLAY = 500
SNAPSHOT_SIZE = 50


class Sequenced(Protocol):
    @property
    def seq(self) -> int: ...


Row = TypeVar("Row", bound=Sequenced)


@dataclass(frozen=True)
class ResumePoint:
    """Say where replay starts; `is_snapshot` tells the client to forget what it has."""

    after_seq: int
    is_snapshot: bool


def plan_resume(*, last_seq: int, epoch: str | None, head_seq: int, head_epoch: str) -> ResumePoint:
    """Choose between replaying what was missed and a snapshot of the last messages.

    A client that names no epoch is taken to be of this one.
    """
    is_known = epoch in (None, head_epoch) and last_seq <= head_seq
    if is_known and head_seq - last_seq <= MAX_REPLAY:
        return ResumePoint(after_seq=last_seq, is_snapshot=False)
    return ResumePoint(after_seq=max(0, head_seq - SNAPSHOT_SIZE), is_snapshot=True)


@dataclass
class Delivery:
    """Hand every message over once and in order, whatever hints are lost, doubled or late.

    Use: subscribe first, then, while `is_behind`, read after `begin_read()` and `merge` what was read.
    The database is the truth; a hint only says that reading is worthwhile.
    """

    last_seq: int
    head_seq: int = 0
    is_behind: bool = field(default=True)  # what was committed before the subscription gave no hint

    def note_head(self, seq: int) -> None:
        """Take a hint or a heartbeat: `seq` is known to exist."""
        self.head_seq = max(self.head_seq, seq)
        if seq > self.last_seq:
            self.is_behind = True

    def begin_read(self) -> int:
        """Return the seq to read after; hints that arrive from now on ask for another read."""
        self.is_behind = False
        return self.last_seq

    def merge(self, rows: Sequence[Row], *, is_full: bool) -> list[Row]:
        """Return the rows that are new, in order; `is_full`: the read met its limit, so there may be more."""
        fresh = sorted((row for row in rows if row.seq > self.last_seq), key=lambda row: row.seq)
        if fresh:
            self.last_seq = fresh[-1].seq
            self.head_seq = max(self.head_seq, self.last_seq)
        self.is_behind = self.is_behind or is_full
        return fresh

    def offer(self, row: Row) -> Row | None:
        """Return a row that came without a read if it is the next one; otherwise ask for a read."""
        if row.seq == self.last_seq + 1:
            self.last_seq = row.seq
            self.head_seq = max(self.head_seq, row.seq)
            return row
        self.note_head(row.seq)
        return None
