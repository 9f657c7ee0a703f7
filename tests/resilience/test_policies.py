import asyncio
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.resilience import breaker as breakers
from apps.resilience.breaker import CLOSED, BreakerPhase, BreakerPolicy, LocalBreakerStore
from apps.resilience.bulkhead import BulkheadPolicy, Bulkheads
from apps.resilience.deadline import Deadline
from apps.resilience.outcomes import AttemptTimeout, BreakerOpen, BulkheadFull, DeadlineExceeded
from apps.resilience.policies import Resilience
from apps.resilience.retry import RetryPolicy


class Time:
    """A clock that only moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds


class Callee:
    """Fails the first `failures` calls."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.timeouts: list[float | None] = []

    def __call__(self, timeout_s: float | None) -> str:
        self.timeouts.append(timeout_s)
        if len(self.timeouts) <= self.failures:
            raise ConnectionError("down")
        return "up"


def policy(time: Time, **parts) -> Resilience:
    return Resilience("test", sleep=time.sleep, store=LocalBreakerStore(time), bulkheads=Bulkheads(), **parts)


def test_retries_until_it_works_with_growing_delays() -> None:
    time, callee = Time(), Callee(failures=2)
    guard = policy(time, retry=RetryPolicy(max_attempts=3, initial_delay_s=1, jitter=0))
    assert guard.call(callee) == "up"
    assert time.slept == [1, 2]


def test_gives_up_with_the_last_error() -> None:
    time, callee = Time(), Callee(failures=9)
    with pytest.raises(ConnectionError):
        policy(time, retry=RetryPolicy(max_attempts=3)).call(callee)
    assert len(callee.timeouts) == 3


def test_deadline_ends_retries_and_bounds_each_attempt() -> None:
    time, callee = Time(), Callee(failures=9)
    guard = policy(
        time,
        deadline_s=5,
        attempt_timeout_s=4,
        retry=RetryPolicy(max_attempts=9, initial_delay_s=2, jitter=0, backoff_factor=1),
    )
    with pytest.raises(DeadlineExceeded):
        guard.call(callee, deadline=Deadline.after(60, time))
    assert callee.timeouts == [4, 3, 1]


def test_an_outer_deadline_wins_over_a_longer_one() -> None:
    time = Time()
    seen = policy(time, deadline_s=50).call(lambda timeout_s: timeout_s, deadline=Deadline.after(2, time))
    assert seen == 2
    with pytest.raises(DeadlineExceeded):
        policy(time).call(lambda timeout_s: timeout_s, deadline=Deadline.after(0, time))


def test_breaker_opens_probes_once_and_closes() -> None:
    time, callee = Time(), Callee(failures=3)
    guard = policy(time, breaker=BreakerPolicy(failure_threshold=3, recovery_timeout_s=60))
    for _ in range(3):
        with pytest.raises(ConnectionError):
            guard.call(callee)
    with pytest.raises(BreakerOpen) as refused:
        guard.call(callee)
    assert (len(callee.timeouts), refused.value.retry_after_s) == (3, 60)
    time.sleep(60)
    assert guard.call(callee) == "up"
    assert guard.call(callee) == "up"


def test_breaker_keeps_callees_apart() -> None:
    time = Time()
    guard = policy(time, breaker=BreakerPolicy(failure_threshold=1))
    with pytest.raises(ConnectionError):
        guard.call(Callee(failures=9), key="acme")
    assert guard.call(Callee(failures=0), key="globex") == "up"


def test_refused_requests_do_not_open_the_breaker() -> None:
    time = Time()
    guard = policy(
        time,
        breaker=BreakerPolicy(failure_threshold=1),
        is_failure=lambda error: not isinstance(error, LookupError),
    )

    def refuse(timeout_s: float | None) -> None:
        raise LookupError("no such thing")

    for _ in range(5):
        with pytest.raises(LookupError):
            guard.call(refuse)


def test_bulkhead_refuses_the_call_too_many_and_counts_nothing_against_the_callee() -> None:
    time, entered, leave = Time(), threading.Event(), threading.Event()
    guard = policy(
        time, bulkhead=BulkheadPolicy(max_concurrent=1), breaker=BreakerPolicy(failure_threshold=1)
    )

    def slow(timeout_s: float | None) -> None:
        entered.set()
        leave.wait(5)

    thread = threading.Thread(target=guard.call, args=(slow,))
    thread.start()
    entered.wait(5)
    with pytest.raises(BulkheadFull):
        guard.call(Callee(failures=0))
    leave.set()
    thread.join(5)
    assert guard.call(Callee(failures=0)) == "up"


async def test_async_attempt_is_cancelled_and_retried() -> None:
    calls = []

    async def slow_once() -> str:
        calls.append(1)
        if len(calls) == 1:
            await asyncio.sleep(5)
        return "up"

    guard = Resilience(
        "test", attempt_timeout_s=0.01, retry=RetryPolicy(initial_delay_s=0), store=LocalBreakerStore()
    )
    assert await guard.acall(slow_once) == "up"
    with pytest.raises(AttemptTimeout):
        await Resilience("test", attempt_timeout_s=0.01).acall(lambda: asyncio.sleep(5))


async def test_async_bulkhead_and_breaker() -> None:
    guard = Resilience(
        "test",
        bulkhead=BulkheadPolicy(max_concurrent=1),
        breaker=BreakerPolicy(failure_threshold=1),
        store=LocalBreakerStore(),
        bulkheads=Bulkheads(),
    )
    first = asyncio.ensure_future(guard.acall(lambda: asyncio.sleep(0.05)))
    await asyncio.sleep(0.01)
    with pytest.raises(BulkheadFull):
        await guard.acall(lambda: asyncio.sleep(0))
    await first

    async def fail() -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await guard.acall(fail)
    with pytest.raises(BreakerOpen):
        await guard.acall(fail)


@given(
    attempts=st.integers(1, 200),
    initial_s=st.floats(0, 100),
    factor=st.floats(1, 10),
    max_s=st.floats(0, 1000),
    jitter=st.floats(0, 1),
    share=st.floats(0, 1),
)
def test_delays_stay_within_bounds(attempts, initial_s, factor, max_s, jitter, share) -> None:
    retry = RetryPolicy(
        initial_delay_s=initial_s,
        backoff_factor=factor,
        max_delay_s=max_s,
        jitter=jitter,
        max_attempts=attempts,
    )
    full = [retry.delay_s(n, 0) for n in range(1, attempts + 1)]
    assert full == sorted(full)
    assert all(0 <= retry.delay_s(n, share) <= min(max_s, full[n - 1]) for n in range(1, attempts + 1))


steps = st.lists(st.tuples(st.sampled_from(["ask", "ok", "bad", "neutral"]), st.floats(0, 30)), max_size=60)


@given(steps=steps, threshold=st.integers(1, 4), successes=st.integers(1, 3))
def test_breaker_never_lets_more_than_one_probe_out(steps, threshold, successes) -> None:
    rules = BreakerPolicy(failure_threshold=threshold, recovery_timeout_s=20, success_threshold=successes)
    state, now_s, last_probe_s = CLOSED, 0.0, None
    for action, pause_s in steps:
        now_s += pause_s
        if action == "ask":
            was = state.phase
            state, wait_s = breakers.admit(state, rules, now_s)
            assert 0 <= wait_s <= 20 + 1e-9
            if was is BreakerPhase.CLOSED:
                assert wait_s == 0
            elif wait_s == 0:
                assert last_probe_s is None or now_s - last_probe_s >= 20
                last_probe_s = now_s
        elif action == "neutral":
            state, last_probe_s = breakers.released(state), None
        else:
            note = breakers.succeeded if action == "ok" else breakers.failed
            state, last_probe_s = note(state, rules, now_s), None
        assert state.phase is not BreakerPhase.CLOSED or state.failures < threshold


@given(failures=st.integers(0, 6), attempts=st.integers(1, 6))
def test_a_callee_is_called_as_often_as_allowed_and_no_more(failures, attempts) -> None:
    time, callee = Time(), Callee(failures)
    guard = policy(time, retry=RetryPolicy(max_attempts=attempts, initial_delay_s=0))
    if failures < attempts:
        assert guard.call(callee) == "up"
    else:
        with pytest.raises(ConnectionError):
            guard.call(callee)
    assert len(callee.timeouts) == min(failures + 1, attempts)
