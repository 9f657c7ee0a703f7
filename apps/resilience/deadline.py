"""A point in time after which work is no longer wanted."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from apps.resilience.outcomes import DeadlineExceeded

Clock = Callable[[], float]


@dataclass(frozen=True)
class Deadline:
    """An absolute end on a monotonic clock: handed down, it only ever gets shorter.

    `expires_at` is in seconds of `clock`; `None` means that there is no end.
    """

    expires_at: float | None = None
    clock: Clock = field(default=time.monotonic, repr=False, compare=False)

    @classmethod
    def after(cls, seconds: float | None, clock: Clock = time.monotonic) -> Deadline:
        """Make a deadline `seconds` from now."""
        return cls(None if seconds is None else clock() + seconds, clock)

    def remaining_s(self) -> float | None:
        """Tell the seconds left, never negative; `None` when there is no end."""
        return None if self.expires_at is None else max(0.0, self.expires_at - self.clock())

    def earliest(self, seconds: float | None) -> Deadline:
        """Shorten to `seconds` from now, unless the end comes sooner already."""
        other = Deadline.after(seconds, self.clock)
        ends = [end for end in (self.expires_at, other.expires_at) if end is not None]
        return Deadline(min(ends) if ends else None, self.clock)

    def bound(self, seconds: float | None) -> float | None:
        """Cut a timeout to the seconds left."""
        limits = [limit for limit in (seconds, self.remaining_s()) if limit is not None]
        return min(limits) if limits else None

    def check(self) -> None:
        """Raise DeadlineExceeded when no time is left."""
        if self.remaining_s() == 0.0:
            raise DeadlineExceeded("the time allowed for this work is over")
