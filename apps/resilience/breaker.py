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


@dataclass(frozen=True)
class BreakerPolicy:
    """Open after `failure_threshold` failures in a row, probe after `recovery_timeout_s`."""

    failure_threshold: int = 5
    recovery_timeout_s: float = 60.0
    success_threshold: int = 1


@dataclass(frozen=True)
class BreakerState:
    """What is remembered of one callee; `since_s` is the time of the last phase change."""

    phase: BreakerPhase = BreakerPhase.CLOSED
    failures: int = 0
    successes: int = 0
    is_probing: bool = False
    since_s: float = 0.0


CLOSED = BreakerState()


def admit(state: BreakerState, policy: BreakerPolicy, now_s: float) -> tuple[BreakerState, float]:
    """Decide whether a call may go out; returns the state that follows and the seconds to wait (0: go)."""
    if state.phase is BreakerPhase.CLOSED:
        return state, 0.0
    wait_s = max(0.0, state.since_s + policy.recovery_timeout_s - now_s)
    # A probe whose caller died reports nothing: after another recovery time the next one goes out.
    if wait_s > 0 and (state.phase is BreakerPhase.OPEN or state.is_probing):
        return state, wait_s
    successes = state.successes if state.phase is BreakerPhase.HALF_OPEN else 0
    return BreakerState(BreakerPhase.HALF_OPEN, successes=successes, is_probing=True, since_s=now_s), 0.0


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


def failed(state: BreakerState, policy: BreakerPolicy, now_s: float) -> BreakerState:
    """Take note of a failed call."""
    if state.phase is BreakerPhase.OPEN:
        return state
    failures = state.failures + 1
    if state.phase is BreakerPhase.HALF_OPEN or failures >= policy.failure_threshold:
        return BreakerState(BreakerPhase.OPEN, failures=failures, since_s=now_s)
    return replace(state, failures=failures)


def released(state: BreakerState) -> BreakerState:
    """Take note of a call that says nothing about the callee; the next probe may go out."""
    return replace(state, is_probing=False)


Transition = Callable[[BreakerState, float], tuple[BreakerState, float]]


class BreakerStore(Protocol):
    """Keeps breaker states by key and applies one transition at a time to each."""

    def update(self, key: str, transition: Transition) -> tuple[BreakerState, float]:
        """Replace the state under `key` by what `transition(state, now_s)` returns, atomically."""
        ...


class LocalBreakerStore:
    """Breaker states of this process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._states: dict[str, BreakerState] = {}

    def update(self, key: str, transition: Transition) -> tuple[BreakerState, float]:
        """Apply the transition under the process's lock."""
        with self._lock:
            state, answer = transition(self._states.get(key, CLOSED), self._clock())
            if state == CLOSED:
                self._states.pop(key, None)
            else:
                self._states[key] = state
            return state, answer
