import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import redis
from django.conf import settings
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from aiaas.embedded import ValkeyServer
from apps.resilience.breaker import CLOSED, BreakerPhase, BreakerPolicy, Callee, Verb, judge
from apps.resilience.metrics import BREAKERS_ARE_LOCAL, REFUSALS, TRANSITIONS
from apps.resilience.outcomes import BreakerOpen
from apps.resilience.policies import Resilience
from apps.resilience.shared_breakers import FIRST_PAUSE_S, SharedBreakerStore

ACME, GLOBEX = "acme-id", "globex-id"
SHOP = Callee("http_request", "shop.example", ACME)
RULES = BreakerPolicy(failure_threshold=2, recovery_timeout_s=60)
# What another process does: told verbs one by one, it answers how long it has to wait.
OTHER = """
import os, sys, redis
from apps.resilience.breaker import BreakerPolicy, Callee, Verb
from apps.resilience.shared_breakers import SharedBreakerStore
store = SharedBreakerStore(redis.Redis.from_url(sys.argv[1]))
for line in sys.stdin:
    shop = Callee("http_request", "shop.example", "acme-id")
    verdict = store.tell(shop, Verb(line.strip()), BreakerPolicy(2, 60))
    print(verdict.wait_s, flush=True)
"""


class OtherProcess:
    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", OTHER, settings.REDIS_URL],
            cwd=Path(settings.ROOT),
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "aiaas.settings.test"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def tell(self, verb: Verb) -> float:
        self.process.stdin.write(f"{verb}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture
def other():
    process = OtherProcess()
    yield process
    process.kill()


class Time:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def store(valkey: redis.Redis) -> SharedBreakerStore:
    return SharedBreakerStore(valkey)


def let_pass(valkey: redis.Redis, callee: Callee, seconds: float) -> None:
    """Move a breaker into the past: the clock is the server's."""
    valkey.hincrbyfloat(f"breaker:{callee.owner}:{callee.policy}:{callee.name}", "since", -seconds)


verbs = st.lists(st.tuples(st.sampled_from(list(Verb)), st.sampled_from([0, 5, 30, 61])), max_size=30)


@hypothesis_settings(max_examples=60, deadline=None)
@given(steps=verbs, threshold=st.integers(1, 3), successes=st.integers(1, 3))
def test_the_script_decides_as_the_model_does(steps, threshold, successes) -> None:
    client = redis.Redis.from_url(settings.REDIS_URL)
    client.flushdb()
    store = SharedBreakerStore(client)
    rules = BreakerPolicy(threshold, 60, successes)
    state = CLOSED
    for verb, pause_s in steps:
        if state.phase is not BreakerPhase.CLOSED or state.failures:
            let_pass(client, SHOP, pause_s)
            state = type(state)(**{**vars(state), "since_s": state.since_s - pause_s})
        *answer, now_s = store._run(SHOP, verb, rules, "Oops")
        state, wait_s = judge(verb, state, rules, float(now_s), "Oops")
        said = (state.phase, state.failures, state.successes, state.is_probing, state.error)
        phase, failures, won, probing, _since, opened_s, error, left_s = answer[1:]
        assert (phase.decode(), failures, won, bool(probing), error.decode()) == said
        assert float(left_s) == pytest.approx(wait_s, abs=1e-3)
        assert float(opened_s) == pytest.approx(state.opened_s, abs=1e-3)
        is_listed = client.zcard(f"breakers:{ACME}") == 1
        assert is_listed is (state.phase is not BreakerPhase.CLOSED)


def test_a_process_leaves_alone_what_failed_for_another(store, valkey, other) -> None:
    for _ in range(2):
        store.tell(SHOP, Verb.FAILED, RULES, "Unreachable")
    assert 30 < other.tell(Verb.ADMIT) <= 60
    let_pass(valkey, SHOP, 60)
    assert other.tell(Verb.ADMIT) == 0  # its probe
    assert store.tell(SHOP, Verb.ADMIT, RULES).wait_s > 30
    other.tell(Verb.SUCCEEDED)
    assert store.tell(SHOP, Verb.ADMIT, RULES).wait_s == 0
    assert valkey.keys("breaker:*") == []


def test_a_probe_whose_process_was_killed_does_not_block_for_ever(store, valkey, other) -> None:
    for _ in range(2):
        other.tell(Verb.FAILED)
    let_pass(valkey, SHOP, 60)
    assert other.tell(Verb.ADMIT) == 0
    other.kill()
    assert store.tell(SHOP, Verb.ADMIT, RULES).wait_s > 30
    let_pass(valkey, SHOP, 60)
    assert store.tell(SHOP, Verb.ADMIT, RULES).wait_s == 0


def test_of_many_at_once_one_goes_out_as_the_probe(store, valkey) -> None:
    for _ in range(2):
        store.tell(SHOP, Verb.FAILED, RULES)
    let_pass(valkey, SHOP, 60)
    stores = [SharedBreakerStore(redis.Redis.from_url(settings.REDIS_URL)) for _ in range(8)]
    waits: list[float] = []
    asking = [
        threading.Thread(target=lambda one=one: waits.append(one.tell(SHOP, Verb.ADMIT, RULES).wait_s))
        for one in stores
    ]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join(10)
    assert sorted(wait_s > 0 for wait_s in waits) == [False] + [True] * 7


def test_one_companys_failures_are_not_anothers(store) -> None:
    for _ in range(2):
        store.tell(SHOP, Verb.FAILED, RULES, "TimedOut")
    assert store.tell(Callee("http_request", "shop.example", GLOBEX), Verb.ADMIT, RULES).wait_s == 0
    [alone] = store.list_left_alone(ACME)
    assert (alone.callee, alone.state.error, alone.state.phase) == (SHOP, "TimedOut", BreakerPhase.OPEN)
    assert 30 < alone.wait_s <= 60
    assert store.list_left_alone(GLOBEX) == []
    assert store.list_owners() == [ACME]


def test_trying_now_lets_one_call_out(store) -> None:
    for _ in range(2):
        store.tell(SHOP, Verb.FAILED, RULES)
    store.tell(SHOP, Verb.TRY_NOW, RULES)
    assert [store.tell(SHOP, Verb.ADMIT, RULES).wait_s > 0 for _ in range(2)] == [False, True]


def test_a_valkey_that_is_killed_costs_nothing_and_comes_back_by_itself(tmp_path) -> None:
    server, time = ValkeyServer(tmp_path), Time()
    server.start()
    client = redis.Redis.from_url(server.url, retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0))
    store = SharedBreakerStore(client, clock=time)
    for _ in range(2):
        store.tell(SHOP, Verb.FAILED, RULES, "Unreachable")
    server.stop()
    asked: list[int] = []
    script = store._script
    store._script = lambda **given: asked.append(1) or script(**given)
    waits = [store.tell(SHOP, Verb.ADMIT, RULES).wait_s for _ in range(50)]
    assert all(30 < wait_s <= 60 for wait_s in waits), "what was known of the callee is known on"
    assert len(asked) == 1, "a Valkey that is away is asked once"
    assert BREAKERS_ARE_LOCAL._value.get() == 1
    time.now_s += FIRST_PAUSE_S
    store.tell(SHOP, Verb.ADMIT, RULES)
    assert len(asked) == 2, "and once more after a while"
    server.start()
    time.now_s += 60
    assert store.tell(SHOP, Verb.ADMIT, RULES).wait_s == 0
    assert (len(asked), BREAKERS_ARE_LOCAL._value.get()) == (3, 0)
    server.stop()


def test_refusals_and_changes_are_counted(store) -> None:
    guard = Resilience("counted", breaker=RULES, store=store)

    def fail(timeout_s: float | None) -> None:
        raise ConnectionError("down")

    for _ in range(2):
        with pytest.raises(ConnectionError):
            guard.call(fail, key="shop.example", owner=ACME)
    with pytest.raises(BreakerOpen, match=r"counted shop\.example is failing"):
        guard.call(fail, key="shop.example", owner=ACME)
    assert REFUSALS.labels("counted", "breaker")._value.get() == 1
    assert TRANSITIONS.labels("counted", "closed", "open")._value.get() == 1
