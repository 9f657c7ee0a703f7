"""The gateway's token buckets, for the visitors of chats."""

from collections.abc import Sequence

from apps.gateway.limits import limiter
from apps.gateway.rate_limit import Bucket


def take_of_each(buckets: Sequence[tuple[str, int]]) -> int:
    """Take one from each (name, how much a minute), or none, and return the seconds to wait: 0 if taken."""
    decision = limiter().take([Bucket(name, per_minute, per_minute) for name, per_minute in buckets])
    return decision.retry_after_s
