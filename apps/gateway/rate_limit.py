"""Token buckets, shared by every process through Valkey; a stricter local copy while it is away."""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import structlog
from redis import Redis
from redis.exceptions import RedisError

from apps.gateway.metrics import RATE_LIMIT_FALLBACK, RATE_LIMIT_IS_LOCAL, RATE_LIMIT_REFUSED

log = structlog.get_logger(__name__)

SCRIPT = (Path(__file__).parent / "token_bucket.lua").read_text()
LOCAL_SHARE = 0.25  # of the limit: each process counts for itself while Valkey is away
PROBE_AFTER_S = 1.0
MAX_LOCAL_BUCKETS = 10_000


@dataclass(frozen=True)
class Bucket:
    """A limit: `per_minute` tokens refill steadily, `burst` of them may be spent at once."""

    key: str
    per_minute: int
    burst: int
    scope: str = "tenant"  # whose it is, for the refusal's words and the metric

    @property
    def refill_per_s(self) -> float:
        return self.per_minute / 60


@dataclass(frozen=True)
class Decision:
    """What the tightest bucket says; times in whole seconds, rounded up."""

    is_allowed: bool
    limit: int
    remaining: int
    retry_after_s: int
    reset_s: int
    scope: str = "tenant"


class RateLimiter:
    """Take one token from all buckets of a request in one round trip."""

    def __init__(self, client: "Redis", clock: Callable[[], float] = time.monotonic) -> None:
        self._script = client.register_script(SCRIPT)
        self._clock = clock
        self._probe_at, self._is_local = 0.0, False
        self._local = LocalBuckets(clock)

    def take(self, buckets: Sequence[Bucket]) -> Decision:
        """Return the decision; never raises because Valkey is away."""
        decision = self._take_shared(buckets) or self._take_local(buckets)
        if not decision.is_allowed:
            RATE_LIMIT_REFUSED.labels(decision.scope).inc()
        return decision

    def _take_shared(self, buckets: Sequence[Bucket]) -> Decision | None:
        if self._clock() < self._probe_at:
            return None
        try:
            figures = [figure for bucket in buckets for figure in (bucket.burst, bucket.refill_per_s)]
            answer = self._script(keys=[bucket.key for bucket in buckets], args=figures)
        except RedisError as exc:
            self._probe_at, self._is_local = self._clock() + PROBE_AFTER_S, True
            RATE_LIMIT_IS_LOCAL.set(1)
            log.warning("rate_limit_valkey_away", error=type(exc).__name__)
            return None
        if self._is_local:
            self._is_local = False
            RATE_LIMIT_IS_LOCAL.set(0)
            log.info("rate_limit_valkey_back")
        rows = [answer[index : index + 3] for index in range(1, len(answer), 3)]
        return _decide(bool(answer[0]), buckets, rows)

    def _take_local(self, buckets: Sequence[Bucket]) -> Decision:
        RATE_LIMIT_FALLBACK.inc()
        strict = [
            replace(
                bucket,
                per_minute=math.ceil(bucket.per_minute * LOCAL_SHARE),
                burst=math.ceil(bucket.burst * LOCAL_SHARE),
            )
            for bucket in buckets
        ]
        return self._local.take(strict)


class LocalBuckets:
    """The same algorithm as the script, within one process."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._state: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, buckets: Sequence[Bucket]) -> Decision:
        """Take one token from every bucket, or from none."""
        with self._lock:
            now = self._clock()
            tokens = [self._level(bucket, now) for bucket in buckets]
            is_allowed = all(level >= 1 for level in tokens)
            tokens = [level - is_allowed for level in tokens]
            for bucket, level in zip(buckets, tokens, strict=True):
                self._state[bucket.key] = (level, now)
                self._state.move_to_end(bucket.key)
            while len(self._state) > MAX_LOCAL_BUCKETS:
                self._state.popitem(last=False)
        rows = [_figures(bucket, level) for bucket, level in zip(buckets, tokens, strict=True)]
        return _decide(is_allowed, buckets, rows)

    def _level(self, bucket: Bucket, now: float) -> float:
        left, at = self._state.get(bucket.key, (float(bucket.burst), now))
        return min(bucket.burst, left + max(0.0, now - at) * bucket.refill_per_s)


def _figures(bucket: Bucket, level: float) -> list[int]:
    wait_ms = max(0, math.ceil((1 - level) * 1000 / bucket.refill_per_s))
    full_ms = math.ceil((bucket.burst - level) * 1000 / bucket.refill_per_s)
    return [math.floor(level), wait_ms, full_ms]


def _decide(is_allowed: bool, buckets: Sequence[Bucket], rows: Sequence[Sequence[int]]) -> Decision:
    tightest = min(range(len(rows)), key=lambda index: rows[index][0])
    remaining, _, full_ms = rows[tightest]
    wait_ms = max(row[1] for row in rows)
    return Decision(
        is_allowed=is_allowed,
        limit=buckets[tightest].per_minute,
        remaining=remaining,
        retry_after_s=0 if is_allowed else max(1, math.ceil(wait_ms / 1000)),
        reset_s=math.ceil(full_ms / 1000),
        scope=buckets[tightest].scope,
    )
