"""Breakers that all processes share through Valkey; each process's own while Valkey is away."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from apps.resilience.breaker import (
    BreakerPhase,
    BreakerPolicy,
    BreakerState,
    Callee,
    LeftAlone,
    LocalBreakerStore,
    Verb,
    Verdict,
    wait_s,
)
from apps.resilience.metrics import BREAKERS_ARE_LOCAL

SCRIPT = (Path(__file__).parent / "breaker.lua").read_text()
TIMEOUT_S = 0.1
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 15.0
DAY_S, HOUR_S = 86_400, 3600
OWNERS = "platform:breakers"
log = structlog.get_logger(__name__)


class SharedBreakerStore:
    """One round trip for each thing told; a Valkey that is away is asked by one call in a while only."""

    def __init__(
        self,
        client: Redis,
        local: LocalBreakerStore | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client, self._script = client, client.register_script(SCRIPT)
        self.local = local or LocalBreakerStore(clock)
        self._clock, self._lock = clock, threading.Lock()
        self._pause_s, self._ask_at = 0.0, 0.0  # while Valkey is away

    def tell(self, callee: Callee, verb: Verb, policy: BreakerPolicy, error: str = "") -> Verdict:
        """Tell a callee's breaker something; never raises because Valkey is away."""
        answer = self._ask(lambda: self._run(callee, verb, policy, error))
        if answer is None:
            return self.local.tell(callee, verb, policy, error)
        verdict, age_s = _read(answer)
        # What this process has seen of a failing callee it still knows when Valkey goes.
        self.local.take_over(callee, verdict.state, policy, age_s)
        return verdict

    def list_left_alone(self, owner: str) -> list[LeftAlone]:
        """Return the owner's callees whose breakers are not closed, by name."""
        found = self._ask(lambda: self._read_left_alone(owner))
        if found is None:
            found = self.local.list_left_alone(owner)
        return sorted(found, key=lambda one: str(one.callee))

    def list_owners(self) -> list[str]:
        """Return whose callees have been left alone of late; none while Valkey is away."""
        return self._ask(lambda: [_text(one) for one in self._client.zrange(OWNERS, 0, -1)]) or []

    def _run(self, callee: Callee, verb: Verb, policy: BreakerPolicy, error: str) -> list[Any]:
        ttl_s = min(DAY_S, max(HOUR_S, int(policy.recovery_timeout_s * 10)))
        thresholds = (policy.failure_threshold, policy.recovery_timeout_s, policy.success_threshold)
        answer: list[Any] = self._script(
            keys=[_key(callee), _index(callee.owner), OWNERS],
            args=[verb.value, *thresholds, error, _member(callee), callee.owner, ttl_s],
        )
        return answer

    def _ask(self, question: Callable[[], Any]) -> Any:
        """Return Valkey's answer, or None where it is away; of several threads one finds out."""
        if self._pause_s:
            with self._lock:
                if self._clock() < self._ask_at:
                    return None
                self._ask_at = self._clock() + self._pause_s
        try:
            answer = question()
        except RedisError as problem:
            self._step_aside(problem)
            return None
        if self._pause_s:
            self._pause_s = 0.0
            BREAKERS_ARE_LOCAL.set(0)
            log.info("breakers_valkey_back")
        return answer

    def _step_aside(self, problem: RedisError) -> None:
        with self._lock:
            self._pause_s = min(LONGEST_PAUSE_S, self._pause_s * 2) or FIRST_PAUSE_S
            self._ask_at = self._clock() + self._pause_s
        BREAKERS_ARE_LOCAL.set(1)
        log.warning("breakers_valkey_away", error=type(problem).__name__, next_in_s=self._pause_s)

    def _read_left_alone(self, owner: str) -> list[LeftAlone]:
        members = [_text(member) for member in self._client.zrange(_index(owner), 0, -1)]
        pipeline = self._client.pipeline(transaction=False)
        for member in members:
            pipeline.hgetall(_key(_callee(owner, member)))
        pipeline.time()
        *rows, (seconds, micros) = pipeline.execute()
        now_s = seconds + micros / 1e6
        return [
            _left_alone(_callee(owner, member), row, now_s)
            for member, row in zip(members, rows, strict=True)
            if row
        ]


@cache
def breakers() -> SharedBreakerStore:
    """Return this process's store."""
    client = Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )
    return SharedBreakerStore(client)


def _key(callee: Callee) -> str:
    return (
        f"breaker:{callee.owner}:{_member(callee)}" if callee.owner else f"platform:breaker:{_member(callee)}"
    )


def _index(owner: str) -> str:
    return f"breakers:{owner}" if owner else "platform:breakers:own"


def _member(callee: Callee) -> str:
    return f"{callee.policy}:{callee.name}"


def _callee(owner: str, member: str) -> Callee:
    policy, _, name = member.partition(":")
    return Callee(policy, name, owner)


def _read(answer: list[Any]) -> tuple[Verdict, float]:
    before, phase, failures, successes, probing, since_s, opened_s, error, left_s, now_s = answer
    state = BreakerState(
        BreakerPhase(_text(phase)),
        failures,
        successes,
        bool(probing),
        float(since_s),
        float(opened_s),
        _text(error),
    )
    return Verdict(state, BreakerPhase(_text(before)), float(left_s)), float(now_s) - float(since_s)


def _left_alone(callee: Callee, row: dict[bytes, bytes], now_s: float) -> LeftAlone:
    fields = {_text(name): _text(value) for name, value in row.items()}
    since_s, opened_s = float(fields["since"]), float(fields["opened"])
    state = BreakerState(
        BreakerPhase(fields["phase"]),
        int(fields["failures"]),
        int(fields["successes"]),
        fields["probing"] == "1",
        since_s,
        opened_s,
        fields["error"],
    )
    return LeftAlone(callee, state, now_s - opened_s, wait_s(state, float(fields["recovery"]), now_s))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
