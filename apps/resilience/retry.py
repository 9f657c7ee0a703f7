"""Whether and when to try again."""

from __future__ import annotations

import random
from dataclasses import dataclass

from apps.resilience.outcomes import BreakerOpen, BulkheadFull, DeadlineExceeded


@dataclass(frozen=True)
class RetryPolicy:
    """Exponential backoff with jitter: attempt n waits initial * factor^(n-1) seconds, at most max.

    `jitter` is the share of the delay that is random (0.5: between half of it and all of it).
    `retry_on` names the exceptions worth another attempt; `never_on` wins over it.
    """

    max_attempts: int = 3
    initial_delay_s: float = 0.2
    backoff_factor: float = 2.0
    max_delay_s: float = 30.0
    jitter: float = 0.5
    retry_on: tuple[type[BaseException], ...] = (Exception,)
    never_on: tuple[type[BaseException], ...] = (DeadlineExceeded, BreakerOpen, BulkheadFull)

    def __post_init__(self) -> None:
        if self.max_attempts < 1 or self.initial_delay_s < 0 or self.max_delay_s < 0:
            raise ValueError("attempts start at 1 and delays at 0 seconds")
        if self.backoff_factor < 1 or not 0 <= self.jitter <= 1:
            raise ValueError("backoff_factor is at least 1, jitter between 0 and 1")

    def allows(self, attempt: int, error: BaseException) -> bool:
        """Tell whether another attempt may follow attempt number `attempt` (the first is 1)."""
        if attempt >= self.max_attempts or isinstance(error, self.never_on):
            return False
        return isinstance(error, self.retry_on)

    def delay_s(self, attempt: int, random_share: float | None = None) -> float:
        """Tell how long to wait after attempt number `attempt`; `random_share` in 0..1 fixes the jitter."""
        # The exponent is bounded because a float overflows long before a delay is useful.
        grown = self.initial_delay_s * self.backoff_factor ** min(attempt - 1, 60)
        share = random.random() if random_share is None else random_share  # noqa: S311
        return min(grown, self.max_delay_s) * (1 - self.jitter * share)


NO_RETRY = RetryPolicy(max_attempts=1)
