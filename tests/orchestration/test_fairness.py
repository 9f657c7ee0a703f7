"""Due runs between tenants and within one: shares, caps, priorities, aging."""

import datetime as dt
import random
import threading
from collections import Counter
from uuid import UUID, uuid4

import pytest
from django.db import connections
from django.db.models import F

from apps.billing.models import Plan, Subscription
from apps.conversations.services import start_conversation
from apps.orchestration import dispatching, selectors, services
from apps.orchestration.adapters import celery_hint
from apps.orchestration.contracts import Priority, RunStatus
from apps.orchestration.definitions.language.compiler import find_problems
from apps.orchestration.engine import leases
from apps.orchestration.engine.fairness import FairQueue
from apps.orchestration.models import AgentRun
from apps.orchestration.shares import forget_shares, get_run_share
from apps.tenants.context import in_tenant
from tests.orchestration.engine import calls
from tests.orchestration.test_api import client_of
from tests.orchestration.test_workers import start, status, wait_until
from tests.pages import log_in
from workers.dispatcher import Dispatcher
from workers.tasks import wake_runs

WAIT = """
  - {id: "a", type: "wait", config: {signal: "go"}}"""


@pytest.fixture(autouse=True)
def _fresh_shares():
    forget_shares()
    yield
    forget_shares()


def give_share(tenant, *, most=20, weight=1):
    code = f"share-{uuid4().hex[:8]}"
    plan = Plan.objects.create(
        code=code, name=code, requests_per_minute=60, max_concurrent_runs=most, run_weight=weight
    )
    with in_tenant(tenant):
        Subscription.objects.filter(ended_at=None).update(plan=plan)
    forget_shares()


def claim(tenant, most=1):
    return [run for run, _ in dispatching.claim_due_runs(tenant=tenant, most=most).runs]


class Load:
    """A process with some slots, on a clock of its own; each tenant's runs take as long as it says."""

    def __init__(self, slots: int, takes: dict[UUID, float], weights: dict[UUID, int]) -> None:
        self.queue, self.takes, self.weights = FairQueue(slots), takes, weights
        self.now, self.ends, self.had = 0.0, [], Counter()

    def run_until(self, end: float) -> None:
        while True:
            while (chosen := self.queue.choose()) is not None:
                tenant, room = chosen
                for _ in range(room):
                    charged = self.queue.begin(tenant, self.weights[tenant])
                    self.ends.append((self.now + self.takes[tenant], tenant, charged, self.now))
                self.queue.offer(tenant)
            next_end = min(self.ends, key=lambda entry: entry[0])
            if next_end[0] > end:
                self.now = end
                return
            self.ends.remove(next_end)
            self.now, tenant, charged, began = next_end
            self.had[tenant] += self.now - began
            self.queue.end(tenant, self.weights[tenant], charged_s=charged, took_s=self.now - began)


@pytest.mark.parametrize("slots", [1, 4, 8])
@pytest.mark.parametrize(
    ("weights", "takes"), [((1, 1), (1.0, 1.0)), ((1, 1), (5.0, 0.1)), ((3, 1), (0.2, 0.7))]
)
def test_slots_are_shared_by_weight_however_long_runs_take(slots, weights, takes) -> None:
    tenants = [UUID(int=1), UUID(int=2)]
    load = Load(slots, dict(zip(tenants, takes, strict=True)), dict(zip(tenants, weights, strict=True)))
    for tenant in tenants:
        load.queue.offer(tenant)
    load.run_until(2000)
    first, second = (load.had[tenant] / weight for tenant, weight in zip(tenants, weights, strict=True))
    assert first == pytest.approx(second, rel=0.1)


def test_who_comes_late_neither_waits_for_the_others_nor_catches_up_on_what_was_missed() -> None:
    many, late = UUID(int=1), UUID(int=2)
    load = Load(4, {many: 1.0, late: 1.0}, {many: 1, late: 1})
    load.queue.offer(many)
    load.run_until(1000)
    load.queue.offer(late)
    chosen = load.queue.choose()
    assert chosen is not None
    assert chosen[0] == late, "a slot was kept free of whoever has all others"
    load.queue.offer(late)
    load.had.clear()
    load.run_until(1100)
    assert load.had[many] == pytest.approx(load.had[late], rel=0.15)


def test_no_tenant_gets_a_process_for_itself_and_nobody_is_left_out() -> None:
    chance, queue = random.Random(4), FairQueue(3)
    tenants = [UUID(int=number) for number in range(6)]
    running: list[tuple[UUID, float]] = []
    begun = Counter()
    for _ in range(3000):
        queue.offer(chance.choice(tenants))
        if running and chance.random() < 0.6:
            tenant, charged = running.pop(chance.randrange(len(running)))
            queue.end(tenant, 1, charged_s=charged, took_s=chance.random())
        if (chosen := queue.choose()) is not None:
            for _ in range(chance.randint(0, chosen[1])):
                running.append((chosen[0], queue.begin(chosen[0], 1)))
                begun[chosen[0]] += 1
        held = Counter(tenant for tenant, _ in running)
        assert sum(held.values()) == 3 - queue.free <= 3
        assert max(held.values(), default=0) <= 2
    assert min(begun[tenant] for tenant in tenants) > 50


def test_each_tenant_gets_fewer_slots_while_the_process_is_busy_and_more_again_after_that() -> None:
    queue = FairQueue(8)
    assert queue.most_of_one == 7
    for _ in range(20):
        queue.feel(0.03)
    assert queue.most_of_one == 2
    queue.offer(UUID(int=1))
    assert queue.choose() == (UUID(int=1), 2)
    for _ in range(40):
        queue.feel(0.0)
    assert queue.most_of_one == 7
    lonely = FairQueue(1)
    lonely.feel(1.0)
    assert lonely.most_of_one == 1


def test_a_tenant_never_has_more_live_leases_than_its_plan_allows(acme, globex, publish, no_hints) -> None:
    for tenant in (acme, globex):
        publish(tenant, WAIT)
        start(tenant, 5)
    give_share(acme, most=2)
    claimed = dispatching.claim_due_runs(tenant=acme, most=4)
    assert (len(claimed.runs), claimed.is_capped) == (2, True)
    assert dispatching.claim_due_runs(tenant=acme, most=4) == dispatching.ClaimedRuns([], is_capped=True)
    assert len(claim(globex, 5)) == 5, "another tenant's cap is its own"
    with in_tenant(acme):
        AgentRun.objects.filter(id=claimed.runs[0][0].id).update(due_at=leases.seconds_from_now(-1))
    assert len(claim(acme, 4)) == 1, "a lease that has run out counts no more"


def test_a_caller_who_waits_is_counted_and_never_refused(acme, publish, no_hints) -> None:
    publish(acme, WAIT)
    give_share(acme, most=1)
    with in_tenant(acme):
        inline = [
            services.start_run(tenant=acme, workflow_name="w", input={}, claim_inline=True).id
            for _ in range(2)
        ]
    start(acme)
    assert dispatching.claim_due_runs(tenant=acme, most=1) == dispatching.ClaimedRuns([], is_capped=True)
    for run_id in inline:
        services.execute_or_await(tenant=acme, run_id=run_id, wait_s=5)
    assert len(claim(acme)) == 1


def test_higher_priorities_go_first_and_each_is_taken_by_age(acme, publish, no_hints) -> None:
    publish(acme, WAIT)
    publish(acme, WAIT, "priority: low", name="later")
    low = services.start_run(tenant=acme, workflow_name="later", input={}).id
    first, second = start(acme, 2)
    high = services.start_run(tenant=acme, workflow_name="w", input={}, priority=Priority.HIGH).id
    raised = services.start_run(tenant=acme, workflow_name="later", input={}, priority=Priority.HIGH).id
    with in_tenant(acme):
        for place, run_id in enumerate((low, first, second, high, raised)):
            AgentRun.objects.filter(id=run_id).update(due_at=leases.seconds_from_now(place - 60))
    assert [claim(acme)[0].id for _ in range(5)] == [high, raised, first, second, low]


def test_a_low_one_is_not_starved(acme, publish, no_hints) -> None:
    publish(acme, WAIT)
    old = services.start_run(tenant=acme, workflow_name="w", input={}, priority=Priority.LOW).id
    with in_tenant(acme):
        aged = F("due_at") - dt.timedelta(seconds=2 * leases.AGING_S + 1)
        AgentRun.objects.filter(id=old).update(due_at=aged)
    services.start_run(tenant=acme, workflow_name="w", input={}, priority=Priority.HIGH)
    assert claim(acme)[0].id == old


def test_the_same_run_is_never_claimed_twice(acme, publish, no_hints) -> None:
    publish(acme, WAIT)
    started = start(acme, 30)
    claimed = []
    give_share(acme, most=20)
    while runs := claim(acme, 7):
        claimed += [run.id for run in runs]
    assert len(claimed) == 20
    assert set(claimed) < set(started), "as many as the plan allows, each once"


def test_the_share_follows_the_plan(acme, globex) -> None:
    give_share(acme, most=3, weight=7)
    assert (get_run_share(tenant=acme).cap, get_run_share(tenant=acme).weight) == (3, 7)
    assert get_run_share(tenant=globex).weight != 7


def test_a_priority_is_asked_for_over_the_api_and_shown(acme, publish, no_hints, fresh_limits) -> None:
    publish(acme, WAIT, "priority: low")
    api = client_of(acme)

    def begin(**more):
        return api.post("/api/v1/runs", {"workflow": "w", **more}, content_type="application/json")

    assert [begin(**more).json()["priority"] for more in ({}, {"priority": "high"})] == ["low", "high"]
    refused = begin(priority="urgent")
    assert refused.status_code == 400
    assert "urgent" in str(refused.json()["errors"]["priority"])
    wrong = 'name: "w"\nversion: "1"\npriority: "urgent"\nsteps:\n  - {id: "a", type: "llm"}\n'
    assert [problem.line for problem in find_problems(wrong)] == [3]
    page = log_in(acme).get("/app/usage/").content.decode()
    assert "Workflow runs at a time" in page


def test_a_messages_run_goes_before_others(acme, no_hints) -> None:
    asked = start_conversation(tenant=acme, channel="api", text="Where is my parcel?")
    with in_tenant(acme):
        run = AgentRun.objects.get(id=asked.received.run_id)
    assert Priority.of_rank(run.priority) is Priority.HIGH


@pytest.mark.usefixtures("live_db", "no_hints", "closed_breakers")
class TestDispatcher:
    def test_another_tenants_one_run_overtakes_many(self, acme, globex, sink, publish) -> None:
        for tenant in (acme, globex):
            publish(tenant, calls(sink, "a"))
        many, turn = start(acme, 40), threading.Event()
        sink.on_request = lambda: turn.wait(0.02)
        dispatcher = Dispatcher(slots=2, interval_s=0.2)
        dispatcher.start()
        try:
            wait_until(lambda: len(sink.requests) > 3)
            one = start(globex)[0]
            dispatcher.offer(globex.id)
            wait_until(lambda: status(globex, one) is RunStatus.COMPLETED)
            left = sum(run.status is not RunStatus.COMPLETED for run in selectors.list_runs(tenant=acme))
            assert left > 20
            wait_until(lambda: all(status(acme, run_id) is RunStatus.COMPLETED for run_id in many))
        finally:
            dispatcher.stop()
        assert len(set(sink.keys)) == len(sink.keys) == 41

    def test_what_a_cap_kept_back_goes_on_when_a_run_has_ended(self, acme, sink, publish) -> None:
        publish(acme, calls(sink, "a"))
        give_share(acme, most=1)
        started, at_once = start(acme, 5), []

        def count_leases() -> None:
            with in_tenant(acme):
                at_once.append(AgentRun.objects.exclude(lease_owner="").count())
            connections.close_all()

        sink.on_request = count_leases
        dispatcher = Dispatcher(slots=4, interval_s=30)
        dispatcher.start()
        try:
            wait_until(lambda: all(status(acme, run_id) is RunStatus.COMPLETED for run_id in started))
        finally:
            dispatcher.stop()
        assert at_once == [1] * 5


def test_hints_of_a_tenant_are_one_until_it_is_taken(acme, globex, monkeypatch, valkey) -> None:
    sent = []
    monkeypatch.setattr(
        celery_hint.current_app, "send_task", lambda name, args, **_: sent.append((name, *args))
    )
    hint = celery_hint.CeleryHint()
    for tenant in (acme, acme, globex, acme):
        hint.send(tenant_id=tenant.id, run_id=uuid4())
    assert sent == [(celery_hint.TASK, str(acme.id)), (celery_hint.TASK, str(globex.id))]
    wake_runs(str(acme.id))
    hint.send(tenant_id=acme.id, run_id=uuid4())
    hint.send(tenant_id=globex.id, run_id=uuid4())
    assert len(sent) == 3
