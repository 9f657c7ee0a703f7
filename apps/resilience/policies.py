"""Deadline > retry > breaker > bulkhead > attempt timeout, as one value around a call.

The order makes every attempt count: the breaker sees each of them, the bulkhead is left while a
retry waits, and the deadline covers all of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TypeVar

from apps.resilience.breaker import BreakerPolicy, BreakerStore, Callee, Verb, Verdict
from apps.resilience.bulkhead import BulkheadPolicy, Bulkheads
from apps.resilience.deadline import Deadline
from apps.resilience.metrics import observe_attempt, observe_breaker
from apps.resilience.outcomes import AttemptTimeout, BreakerOpen, BulkheadFull, DeadlineExceeded
from apps.resilience.retry import NO_RETRY, RetryPolicy
from apps.resilience.shared_breakers import breakers

T = TypeVar("T")
_BULKHEADS = Bulkheads()


@dataclass(frozen=True)
class Resilience:
    """What guards the calls to one kind of callee.

    `name` labels metrics, so it is one of few; `key` given at the call tells callees apart (a host, a model),
    `owner` for whom they are called (a tenant's id): each owner learns of a callee for itself. `store` keeps
    the breakers; without one all processes share them. `is_failure` says which exceptions speak against the
    callee's health: a refused request (4xx) does not. A sync attempt gets its seconds as argument and must
    keep to them itself, because a thread cannot be stopped from outside; an async attempt is cancelled.
    """

    name: str
    deadline_s: float | None = None
    retry: RetryPolicy = NO_RETRY
    breaker: BreakerPolicy | None = None
    bulkhead: BulkheadPolicy | None = None
    attempt_timeout_s: float | None = None
    is_failure: Callable[[BaseException], bool] = field(default=lambda error: isinstance(error, Exception))
    store: BreakerStore | None = field(default=None, compare=False, repr=False)
    bulkheads: Bulkheads = field(default=_BULKHEADS, compare=False, repr=False)
    sleep: Callable[[float], None] = field(default=time.sleep, compare=False, repr=False)

    def call(
        self,
        attempt: Callable[[float | None], T],
        *,
        key: str = "",
        owner: str = "",
        deadline: Deadline | None = None,
    ) -> T:
        """Call `attempt(timeout_s)` under the whole policy.

        Raises DeadlineExceeded, BreakerOpen, BulkheadFull or what the last attempt raised.
        """
        end = (deadline or Deadline()).earliest(self.deadline_s)
        number = 1
        while True:
            end.check()
            try:
                return self._attempt(attempt, Callee(self.name, key, owner), end)
            except Exception as error:
                self.sleep(self._pause(number, error, end))
                number += 1

    async def acall(
        self,
        attempt: Callable[[], Awaitable[T]],
        *,
        key: str = "",
        owner: str = "",
        deadline: Deadline | None = None,
    ) -> T:
        """Await `attempt()` under the whole policy; raises as `call`, and AttemptTimeout."""
        end = (deadline or Deadline()).earliest(self.deadline_s)
        number = 1
        while True:
            end.check()
            try:
                return await self._aattempt(attempt, Callee(self.name, key, owner), end)
            except Exception as error:
                await asyncio.sleep(self._pause(number, error, end))
                number += 1

    def _pause(self, number: int, error: Exception, end: Deadline) -> float:
        if not self.retry.allows(number, error):
            raise error
        pause_s = self.retry.delay_s(number)
        left_s = end.remaining_s()
        if left_s is not None and pause_s >= left_s:
            raise DeadlineExceeded(f"{self.name}: no time is left for another attempt") from error
        return pause_s

    def _attempt(self, attempt: Callable[[float | None], T], callee: Callee, end: Deadline) -> T:
        self._admit(callee)
        started = time.perf_counter()
        try:
            with self._place(callee, end):
                result = attempt(end.bound(self.attempt_timeout_s))
        except BaseException as error:
            self._settle(callee, error, started)
            raise
        self._settle(callee, None, started)
        return result

    def _place(self, callee: Callee, end: Deadline) -> AbstractContextManager[None]:
        if self.bulkhead is None:
            return nullcontext()
        return self.bulkheads.enter(callee.key, self.bulkhead, end.remaining_s())

    async def _aattempt(self, attempt: Callable[[], Awaitable[T]], callee: Callee, end: Deadline) -> T:
        self._admit(callee)
        started = time.perf_counter()
        try:
            result = await self._timed(attempt, callee, end)
        except BaseException as error:
            self._settle(callee, error, started)
            raise
        self._settle(callee, None, started)
        return result

    async def _timed(self, attempt: Callable[[], Awaitable[T]], callee: Callee, end: Deadline) -> T:
        if self.bulkhead is None:
            return await _within(attempt, end.bound(self.attempt_timeout_s))
        async with self.bulkheads.aenter(callee.key, self.bulkhead, end.remaining_s()):
            return await _within(attempt, end.bound(self.attempt_timeout_s))

    def _admit(self, callee: Callee) -> None:
        if self.breaker is None:
            return
        verdict = self._tell(callee, Verb.ADMIT)
        if verdict.wait_s > 0:
            observe_attempt(self.name, "refused_by_breaker", 0.0)
            raise BreakerOpen(str(callee), verdict.wait_s)

    def _settle(self, callee: Callee, error: BaseException | None, started: float) -> None:
        observe_attempt(self.name, _outcome(error), time.perf_counter() - started)
        if self.breaker is not None:
            self._tell(callee, self._verb(error), type(error).__name__ if error else "")

    def _tell(self, callee: Callee, verb: Verb, error: str = "") -> Verdict:
        assert self.breaker is not None
        verdict = (self.store or breakers()).tell(callee, verb, self.breaker, error)
        observe_breaker(self.name, verdict.before, verdict.state.phase)
        return verdict

    def _verb(self, error: BaseException | None) -> Verb:
        if error is None:
            return Verb.SUCCEEDED
        # A full compartment and a cancelled caller say nothing about the callee.
        if isinstance(error, BulkheadFull) or not isinstance(error, Exception):
            return Verb.RELEASED
        return Verb.FAILED if self.is_failure(error) else Verb.SUCCEEDED


async def _within(attempt: Callable[[], Awaitable[T]], timeout_s: float | None) -> T:
    scope = asyncio.timeout(timeout_s)
    try:
        async with scope:
            return await attempt()
    except TimeoutError:
        if scope.expired():
            raise AttemptTimeout(f"no answer within {timeout_s:.3g} s") from None
        raise


def _outcome(error: BaseException | None) -> str:
    if error is None:
        return "ok"
    if isinstance(error, AttemptTimeout):
        return "timeout"
    return "refused_by_bulkhead" if isinstance(error, BulkheadFull) else "error"
