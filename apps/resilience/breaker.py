"""Leave a failing callee alone, then ask it again with a single call."""

from __future__ import annotations

import enum
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol


class BreakerPhase(enum.StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Verb(enum.StrEnum):
    """What a breaker is told; `breaker.lua` knows the same."""

    ADMIT = "admit"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    RELEASED = "released"
    TRY_NOW = "try_now"


@dataclass(frozen=True)
class Callee:
    """Who is called: by which policy, which of its kind (a host, a model), and for whom.

    `owner` is a tenant's id, empty for what the platform calls for itself.
    """

    policy: str
    name: str = ""
    owner: str = ""

    def __str__(self) -> str:
        return f"{self.policy} {self.name}".strip()

    @property
    def key(self) -> str:
        """Name the callee among those of every owner."""
        return f"{self.owner}:{self.policy}:{self.name}"


@dataclass(frozen=True)
class BreakerPolicy:
    """Open after `failure_threshold` failures in a row, probe after `recovery_timeout_s`."""

    failure_threshold: int = 5
    recovery_timeout_s: float = 60.0
    success_threshold: int = 1


@dataclass(frozen=True)
class BreakerState:
    """What is remembered of one callee: `since_s` is the time of the last phase change, or probe.

    `opened_s` is when it was found failing, however often it was probed since; `error` is the class of the
    last failure.
    """

    phase: BreakerPhase = BreakerPhase.CLOSED
    failures: int = 0
    successes: int = 0
    is_probing: bool = False
    since_s: float = 0.0
    opened_s: float = 0.0
    error: str = ""


CLOSED = BreakerState()


@dataclass(frozen=True)
class Verdict:
    """What a breaker answers: its state then and before, and the seconds to wait (0: go)."""

    state: BreakerState
    before: BreakerPhase = BreakerPhase.CLOSED
    wait_s: float = 0.0


@dataclass(frozen=True)
class LeftAlone:
    """A callee whose breaker is not closed, found failing `for_s` ago and asked again in `wait_s`."""

    callee: Callee
    state: BreakerState
    for_s: float
    wait_s: float


def wait_s(state: BreakerState, recovery_timeout_s: float, now_s: float) -> float:
    """Tell how long no call goes out.

    A probe whose caller died reports nothing: after another recovery time the next one goes out.
    """
    if state.phase is BreakerPhase.CLOSED or (state.phase is BreakerPhase.HALF_OPEN and not state.is_probing):
        return 0.0
    return max(0.0, state.since_s + recovery_timeout_s - now_s)


def admit(state: BreakerState, policy: BreakerPolicy, now_s: float) -> tuple[BreakerState, float]:
    """Decide whether a call may go out; returns the state that follows and the seconds to wait (0: go)."""
    if state.phase is BreakerPhase.CLOSED:
        return state, 0.0
    left_s = wait_s(state, policy.recovery_timeout_s, now_s)
    if left_s > 0:
        return state, left_s
    successes = state.successes if state.phase is BreakerPhase.HALF_OPEN else 0
    phase = BreakerPhase.HALF_OPEN
    return replace(state, phase=phase, successes=successes, is_probing=True, since_s=now_s), 0.0


def succeeded(state: BreakerState, policy: BreakerPolicy, now_s: float) -> BreakerState:
    """Take note of a call that came back well."""
    if state.phase is BreakerPhase.OPEN:
        return state  # an old call's answer: the failures that opened it were newer
    if state.phase is BreakerPhase.CLOSED:
        return CLOSED if state.failures else state
    successes = state.successes + 1
    if successes >= policy.success_threshold:
        return replace(CLOSED, since_s=now_s)
    return replace(state, successes=successes, is_probing=False)


def failed(state: BreakerState, policy: BreakerPolicy, now_s: float, error: str = "") -> BreakerState:
    """Take note of a failed call."""
    if state.phase is BreakerPhase.OPEN:
        return state
    failures, was_open = state.failures + 1, state.phase is BreakerPhase.HALF_OPEN
    if not was_open and failures < policy.failure_threshold:
        return replace(state, failures=failures, error=error)
    opened_s = state.opened_s if was_open else now_s
    return BreakerState(BreakerPhase.OPEN, failures, since_s=now_s, opened_s=opened_s, error=error)


def released(state: BreakerState) -> BreakerState:
    """Take note of a call that says nothing about the callee; the next probe may go out."""
    return replace(state, is_probing=False)


def try_now(state: BreakerState) -> BreakerState:
    """Let the next call be the probe, without waiting for the recovery time."""
    return replace(state, phase=BreakerPhase.HALF_OPEN) if state.phase is BreakerPhase.OPEN else state


def judge(
    verb: Verb, state: BreakerState, policy: BreakerPolicy, now_s: float, error: str = ""
) -> tuple[BreakerState, float]:
    """Tell a breaker something; returns the state that follows and the seconds to wait (0: go)."""
    match verb:
        case Verb.ADMIT:
            return admit(state, policy, now_s)
        case Verb.SUCCEEDED:
            return succeeded(state, policy, now_s), 0.0
        case Verb.FAILED:
            return failed(state, policy, now_s, error), 0.0
        case Verb.RELEASED:
            return released(state), 0.0
        case Verb.TRY_NOW:
            return try_now(state), 0.0


class BreakerStore(Protocol):
    """Keeps the breakers of all callees and tells each one thing at a time."""

    def tell(self, callee: Callee, verb: Verb, policy: BreakerPolicy, error: str = "") -> Verdict:
        """Tell a callee's breaker something, atomically."""
        ...

    def list_left_alone(self, owner: str) -> list[LeftAlone]:
        """Return the owner's callees whose breakers are not closed."""
        ...


class LocalBreakerStore:
    """Breakers of this process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._states: dict[Callee, tuple[BreakerState, BreakerPolicy]] = {}

    def tell(self, callee: Callee, verb: Verb, policy: BreakerPolicy, error: str = "") -> Verdict:
        """Tell a callee's breaker something, under the process's lock."""
        with self._lock:
            before, _ = self._states.get(callee, (CLOSED, policy))
            state, left_s = judge(verb, before, policy, self._clock(), error)
            self._keep(callee, state, policy)
        return Verdict(state, before.phase, left_s)

    def take_over(self, callee: Callee, state: BreakerState, policy: BreakerPolicy, age_s: float) -> None:
        """Know what another store says; its last change was `age_s` seconds ago."""
        is_known = callee in self._states
        if state.phase is BreakerPhase.CLOSED and not is_known:
            return
        with self._lock:
            shift_s = self._clock() - age_s - state.since_s
            moved = replace(
                state, since_s=state.since_s + shift_s, opened_s=max(0.0, state.opened_s + shift_s)
            )
            self._keep(callee, moved, policy)

    def list_left_alone(self, owner: str) -> list[LeftAlone]:
        """Return the owner's callees that this process leaves alone."""
        with self._lock:
            now_s, known = self._clock(), list(self._states.items())
        return [
            LeftAlone(callee, state, now_s - state.opened_s, wait_s(state, policy.recovery_timeout_s, now_s))
            for callee, (state, policy) in known
            if callee.owner == owner and state.phase is not BreakerPhase.CLOSED
        ]

    def _keep(self, callee: Callee, state: BreakerState, policy: BreakerPolicy) -> None:
        if state.phase is BreakerPhase.CLOSED and not state.failures:
            self._states.pop(callee, None)
        else:
            self._states[callee] = (state, policy)
