"""Ids of runs: each begins with the moment of the run (UUIDv7), by which its history is kept and removed."""

from __future__ import annotations

import datetime as dt
import hashlib
from uuid import UUID

TIME_BITS, VERSION, VARIANT = 48, 7 << 76, 2 << 62
REST_BITS = 128 - TIME_BITS
RANDOM = (1 << REST_BITS) - 1 & ~(0xF << 76) & ~(0x3 << 62)


def derive_run_id(parent: UUID, name: str) -> UUID:
    """Name the run that another one starts once: the same for the same two, and of the parent's month."""
    return _made_of(parent.int >> REST_BITS, f"{parent}/{name}")


def run_id_of(moment: dt.datetime, source: UUID, name: str) -> UUID:
    """Name the run that a moment starts once: the same for the same three, and of the moment's month."""
    return _made_of(int(moment.timestamp() * 1000), f"{source}/{moment.isoformat()}/{name}")


def month_of(run_id: UUID) -> dt.date:
    """Return the first day of the month in which a run was made, in UTC."""
    moment = dt.datetime.fromtimestamp((run_id.int >> REST_BITS) / 1000, tz=dt.UTC)
    return moment.date().replace(day=1)


def _made_of(moment_ms: int, name: str) -> UUID:
    digest = int.from_bytes(hashlib.sha256(name.encode()).digest()[: REST_BITS // 8])
    return UUID(int=moment_ms << REST_BITS | VERSION | VARIANT | digest & RANDOM)
