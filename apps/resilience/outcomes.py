"""How a guarded call can be refused or fail without the callee having said anything."""


class ResilienceError(Exception):
    """A call that the policy itself ended or refused."""


class DeadlineExceeded(ResilienceError):
    """The whole call, its retries included, ran out of time."""


class AttemptTimeout(ResilienceError):
    """One attempt took longer than its share; the callee's outcome is unknown."""


class BreakerOpen(ResilienceError):
    """The callee has failed often and is left alone for a while; nothing was sent."""

    def __init__(self, name: str, retry_after_s: float) -> None:
        super().__init__(f"{name} is failing; it is tried again in {retry_after_s:.0f} s")
        self.retry_after_s = retry_after_s


class BulkheadFull(ResilienceError):
    """As many calls as allowed are under way already; nothing was sent."""
