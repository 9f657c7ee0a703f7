"""The engine on the real database: fences, intents, sleeps, compensation, and a crash at every point."""

import datetime as dt
from contextlib import contextmanager

import pytest
from django.db.models import F
from django.db.models.functions import Now

from apps.crm import selectors as crm_selectors
from apps.crm import services as crm
from apps.events.models import OutboxEvent
from apps.orchestration import selectors, services
from apps.orchestration.contracts import RunStatus, StepStatus
from apps.orchestration.definitions import services as definitions
from apps.orchestration.definitions.selectors import get_definition
from apps.orchestration.engine import execution
from apps.orchestration.engine.journal import Journal, read_facts
from apps.orchestration.engine.state import fold
from apps.orchestration.models import AgentRun, RunEvent
from apps.orchestration.tools import http
from apps.resilience.breaker import LocalBreakerStore
from apps.tenants.context import in_tenant

pytestmark = pytest.mark.usefixtures("no_hints")
CALL = """
  - id: "{id}"
    type: "tool"
    tool: "http_request"
    config: {{method: "POST", url: "{url}/{id}"}}
    retry: {{max_attempts: {attempts}, initial_delay_s: {delay}, backoff_factor: 1}}"""


class Crash(BaseException):
    """The process dies here."""


@pytest.fixture(autouse=True)
def _closed_breakers():
    object.__setattr__(http.GUARD, "store", LocalBreakerStore())


def calls(sink, *names, attempts=2, delay=0.01):
    return "\n".join(CALL.format(id=name, url=sink.url, attempts=attempts, delay=delay) for name in names)


def undo(sink, *names):
    lines = [
        f'  - {{step: "{n}", action: "http_request", config: {{method: "POST", url: "{sink.url}/undo-{n}"}}}}'
        for n in names
    ]
    return "\n".join(["compensation:", *lines])


def start(tenant, name="w", **given):
    return services.start_run(tenant=tenant, workflow_name=name, input=given).id


def show(tenant, run_id):
    return selectors.get_run(tenant=tenant, run_id=run_id)


def states(tenant, run_id):
    return {step.id: step.state.value for step in show(tenant, run_id).steps}


def expire(tenant, run_id):
    with in_tenant(tenant):
        AgentRun.objects.filter(id=run_id, due_at__isnull=False).update(due_at=Now())


def kinds(tenant, run_id):
    return [event.kind for event in selectors.list_run_events(tenant=tenant, run_id=run_id)]


def paths(sink):
    return [request["path"].strip("/") for request in sink.requests]


def assert_history_is_whole(tenant, run_id):
    with in_tenant(tenant):
        run = AgentRun.objects.get(id=run_id)
        seqs = list(RunEvent.objects.filter(run_id=run_id).order_by("seq").values_list("seq", flat=True))
        assert seqs == list(range(1, run.version + 1))
        assert fold(read_facts(run)).status.value == run.status


def test_each_effect_gets_an_intent_first_and_a_key_of_its_own(acme, sink, publish) -> None:
    publish(acme, calls(sink, "a", "b"))
    run_id = start(acme)
    assert services.execute_run(tenant=acme, run_id=run_id)
    assert show(acme, run_id).status is RunStatus.COMPLETED
    assert kinds(acme, run_id) == [
        "run_started", "step_intended", "step_completed", "step_intended", "step_completed", "run_ended",
    ]  # fmt: skip
    assert len(set(sink.keys)) == 2
    assert_history_is_whole(acme, run_id)
    assert not services.execute_run(tenant=acme, run_id=run_id), "an ended run cannot be claimed"


def test_a_failed_attempt_is_repeated_with_the_same_key(acme, sink, publish) -> None:
    sink.answer = lambda path, number: 503 if number < 3 else 200
    publish(acme, calls(sink, "a", attempts=3))
    run_id = start(acme)
    services.execute_run(tenant=acme, run_id=run_id)
    assert show(acme, run_id).steps[0].attempts == 3
    assert list(sink.counts().values()) == [3]


def test_a_refused_request_is_not_repeated(acme, sink, publish) -> None:
    sink.answer = lambda path, number: 422
    publish(acme, calls(sink, "a", attempts=3))
    run_id = start(acme)
    services.execute_run(tenant=acme, run_id=run_id)
    run = show(acme, run_id)
    assert (run.status, len(sink.requests)) == (RunStatus.FAILED, 1)
    assert "answered 422" in run.error


def test_a_long_retry_sleeps_in_the_table_and_not_in_a_thread(acme, sink, publish) -> None:
    sink.answer = lambda path, number: 503 if number < 2 else 200
    publish(acme, calls(sink, "a", delay=3600))
    run_id = start(acme)
    services.execute_run(tenant=acme, run_id=run_id)
    asleep = show(acme, run_id)
    assert asleep.status is RunStatus.RUNNING
    left = asleep.due_at - dt.datetime.now(dt.UTC)
    assert dt.timedelta(minutes=4) < left <= dt.timedelta(minutes=5, seconds=5), (
        "the longest delay by default"
    )
    assert not services.execute_run(tenant=acme, run_id=run_id), "nobody may wake it early"
    expire(acme, run_id)
    services.execute_run(tenant=acme, run_id=run_id)
    assert (show(acme, run_id).status, len(sink.requests)) == (RunStatus.COMPLETED, 2)


def test_what_was_done_is_undone_in_reverse_when_a_later_step_fails(acme, sink, publish) -> None:
    sink.answer = lambda path, number: 422 if path == "/d" else 200
    publish(acme, calls(sink, "a", "b", "c", "d"), undo(sink, "a", "c", "d"))
    run_id = start(acme)
    services.execute_run(tenant=acme, run_id=run_id)
    assert show(acme, run_id).status is RunStatus.COMPENSATED
    assert paths(sink) == ["a", "b", "c", "d", "undo-c", "undo-a"]
    assert states(acme, run_id) == {"a": "undone", "b": "done", "c": "undone", "d": "failed"}
    assert len(set(sink.keys)) == 6, "an undoing never has its step's key"
    assert_history_is_whole(acme, run_id)


def test_a_compensation_that_fails_is_visible_and_goes_on_after_a_retry(acme, sink, publish) -> None:
    broken = True
    sink.answer = lambda path, number: 422 if path == "/c" or (path == "/undo-b" and broken) else 200
    publish(acme, calls(sink, "a", "b", "c"), undo(sink, "a", "b"))
    run_id = start(acme)
    services.execute_run(tenant=acme, run_id=run_id)
    run = show(acme, run_id)
    assert run.status is RunStatus.COMPENSATION_FAILED
    assert states(acme, run_id) == {"a": "done", "b": "stuck", "c": "failed"}
    assert run.steps[1].undo["error"]
    broken = False
    services.retry_run(tenant=acme, run_id=run_id)
    services.execute_run(tenant=acme, run_id=run_id)
    assert show(acme, run_id).status is RunStatus.COMPENSATED
    assert paths(sink) == ["a", "b", "c", "undo-b", "undo-b", "undo-a"]
    assert sink.keys[3] == sink.keys[4]


def test_a_failed_run_without_compensation_goes_on_from_its_failed_step(acme, sink, publish) -> None:
    broken = True
    sink.answer = lambda path, number: 422 if path == "/b" and broken else 200
    publish(acme, calls(sink, "a", "b", "c"))
    run_id = start(acme)
    services.execute_run(tenant=acme, run_id=run_id)
    assert show(acme, run_id).status is RunStatus.FAILED
    broken = False
    services.retry_run(tenant=acme, run_id=run_id)
    services.execute_run(tenant=acme, run_id=run_id)
    assert show(acme, run_id).status is RunStatus.COMPLETED
    assert paths(sink) == ["a", "b", "b", "c"]


def test_the_cancellation_whose_later_step_fails_is_undone(acme, sink) -> None:
    crm.create_order(tenant=acme, number="1042", total_cents=4200, customer_email="ann@example.com")
    sink.answer = lambda path, number: 409
    run_id = start(acme, "order_cancellation", order_number="1042", warehouse_url=f"{sink.url}/notices")
    services.execute_run(tenant=acme, run_id=run_id)
    run = show(acme, run_id)
    assert run.status is RunStatus.COMPENSATED
    assert states(acme, run_id) == {
        "hold_order": "undone", "notify_warehouse": "failed", "cancel_order": "skipped",
    }  # fmt: skip
    assert crm_selectors.find_order(tenant=acme, number="1042").status == "placed"
    assert sink.requests[0]["body"] == {
        "event": "order.cancelled", "order_number": "1042", "reason": "asked for by the customer",
    }  # fmt: skip


def test_the_cancellation_that_the_warehouse_accepts_is_done(acme, sink) -> None:
    crm.create_order(tenant=acme, number="1042", total_cents=4200, customer_email="ann@example.com")
    definitions.update_tool_setting(
        tenant=acme, tool="http_request", config={"warehouse_url": f"{sink.url}/notices"}
    )
    run_id = start(acme, "order_cancellation", order_number="1042")
    services.execute_run(tenant=acme, run_id=run_id)
    assert show(acme, run_id).status is RunStatus.COMPLETED
    assert crm_selectors.find_order(tenant=acme, number="1042").status == "cancelled"
    with in_tenant(acme):
        told = list(OutboxEvent.objects.filter(envelope__run_id=str(run_id)).values_list("type", flat=True))
    assert told.count("agent.step.completed") == 3
    assert told.count("agent.run.completed") == told.count("agent.run.started") == 1
    assert told.count("billing.usage.recorded") == 1


def test_a_run_is_cancelled_between_two_steps_and_undone(acme, sink, publish) -> None:
    publish(acme, calls(sink, "a", "b", "c"), undo(sink, "a"))
    run_id = start(acme)
    sink.on_request = lambda: len(sink.requests) == 2 and cancel_from_elsewhere(acme, run_id)
    services.execute_run(tenant=acme, run_id=run_id)
    assert show(acme, run_id).status is RunStatus.CANCELLED
    assert paths(sink) == ["a", "b", "undo-a"]
    assert states(acme, run_id) == {"a": "undone", "b": "done", "c": "skipped"}


def cancel_from_elsewhere(tenant, run_id):
    """The sink answers on a thread of its own, which has no part in the test's transaction."""
    CANCELLED.append((tenant, run_id))


CANCELLED: list = []


@pytest.fixture(autouse=True)
def _cancel_when_asked(monkeypatch):
    CANCELLED.clear()
    commit = Journal.commit

    @contextmanager
    def cancel_and_commit(self, **changes):
        while CANCELLED:
            tenant, run_id = CANCELLED.pop()
            services.cancel_run(tenant=tenant, run_id=run_id)
        with commit(self, **changes) as fields:
            yield fields

    monkeypatch.setattr(Journal, "commit", cancel_and_commit)


def test_a_sleeping_run_is_cancelled_at_once(acme, sink, publish) -> None:
    sink.answer = lambda path, number: 503
    publish(acme, calls(sink, "a", delay=3600))
    run_id = start(acme)
    services.execute_run(tenant=acme, run_id=run_id)
    assert services.cancel_run(tenant=acme, run_id=run_id).is_cancelling
    assert services.execute_run(tenant=acme, run_id=run_id), "it is due now"
    assert show(acme, run_id).status is RunStatus.CANCELLED


# Every point at which a process may die, as (what dies, how often it is passed before).
POINTS = [
    ("claim", 0), ("intent", 0), ("effect", 0), ("result", 0), ("intent", 1), ("effect", 1), ("result", 1),
    ("effect", 2), ("intent", 3), ("effect", 3), ("result", 3), ("result", 4), ("end", 0),
]  # fmt: skip


@pytest.mark.parametrize(("point", "passes"), POINTS)
def test_a_crash_at_any_point_loses_nothing_and_repeats_no_effect(
    acme, sink, publish, monkeypatch, point, passes
) -> None:
    sink.answer = lambda path, number: 422 if path == "/c" else 200
    publish(acme, calls(sink, "a", "b", "c"), undo(sink, "a", "b"))
    run_id = start(acme)
    with dying_at(monkeypatch, point, passes), pytest.raises(Crash):
        services.execute_run(tenant=acme, run_id=run_id)
    assert not services.execute_run(tenant=acme, run_id=run_id) or point == "end", "its lease holds"
    for _ in range(3):
        expire(acme, run_id)
        services.execute_run(tenant=acme, run_id=run_id)

    assert show(acme, run_id).status is RunStatus.COMPENSATED
    once = list(dict.fromkeys(paths(sink)))
    assert once == ["a", "b", "c", "undo-b", "undo-a"]
    assert len(sink.counts()) == 5, "a repeated request has the key of the first: the receiver does it once"
    assert len(sink.requests) <= 6, "only what was under way is repeated"
    assert_history_is_whole(acme, run_id)


@contextmanager
def dying_at(monkeypatch, point, passes):
    """Make the process die at a point of the engine that it has passed so many times before."""
    left = [passes]

    def die_here(at: str) -> None:
        if at == point:
            left[0] -= 1
            if left[0] == -1:
                raise Crash

    attempt, commit, finish = execution.Execution._attempt, Journal.commit, execution.finish

    def attempt_or_die(self, tool, effect, action, *rest):
        def act(context):
            output = action(context)
            die_here("effect")
            return output

        attempt(self, tool, effect, act, *rest)
        die_here("result")

    @contextmanager
    def commit_or_die(self, **changes):
        with commit(self, **changes) as fields:
            yield fields
        die_here("intent")

    def run_or_die(self):
        die_here("claim")
        return ORIGINAL_RUN(self)

    def finish_or_die(*args):
        with die_after_everything(die_here):
            finish(*args)

    with monkeypatch.context() as patched:
        patched.setattr(execution.Execution, "_attempt", attempt_or_die)
        patched.setattr(Journal, "commit", commit_or_die)
        patched.setattr(execution.Execution, "run", run_or_die)
        patched.setattr(execution, "finish", finish_or_die)
        yield


ORIGINAL_RUN = execution.Execution.run


class die_after_everything:  # noqa: N801
    def __init__(self, die) -> None:
        self.die = die

    def __enter__(self) -> None: ...

    def __exit__(self, *error) -> None:
        self.die("end")


def test_a_stale_executor_writes_nothing_and_stops_silently(acme, sink, publish) -> None:
    publish(acme, calls(sink, "a", "b"))
    run_id = start(acme)
    claim = services._claim(acme, run_id)
    expire(acme, run_id)
    services.execute_run(tenant=acme, run_id=run_id)
    before = kinds(acme, run_id)
    services._execute(acme, claim, None)
    assert kinds(acme, run_id) == before
    assert len(sink.requests) == 2


def test_an_effect_of_our_own_is_undone_with_the_lost_lease(acme) -> None:
    crm.create_order(tenant=acme, number="1042", total_cents=4200, customer_email="ann@example.com")
    run_id = start(acme, "order_cancellation", order_number="1042")
    claim = services._claim(acme, run_id)
    with in_tenant(acme):
        AgentRun.objects.filter(id=run_id).update(lease_epoch=F("lease_epoch") + 1)
    services._execute(acme, claim, None)
    assert crm_selectors.find_order(tenant=acme, number="1042").status == "placed"
    assert kinds(acme, run_id) == ["run_started"]


def test_a_suspended_executor_begins_no_effect_after_its_lease(acme, sink, publish) -> None:
    publish(acme, calls(sink, "a"))
    run_id = start(acme)
    claim = services._claim(acme, run_id)
    claim.lease.renewed_at -= 16
    services._execute(acme, claim, None)
    assert sink.requests == []


def test_a_run_that_kills_its_workers_is_given_up(acme, sink, publish) -> None:
    publish(acme, calls(sink, "a", "b"), undo(sink, "a"))
    run_id = start(acme)
    with in_tenant(acme):
        AgentRun.objects.filter(id=run_id).update(claims=5)
    services.execute_run(tenant=acme, run_id=run_id)
    run = show(acme, run_id)
    assert (run.status, run.steps[0].state) == (RunStatus.FAILED, StepStatus.FAILED)
    assert "again and again" in run.error
    assert sink.requests == []


def test_a_run_keeps_the_version_it_began_with(acme, sink, publish) -> None:
    first = publish(acme, calls(sink, "a"))
    run_id = start(acme)
    second = publish(acme, calls(sink, "z"))
    assert first.hash != second.hash
    services.execute_run(tenant=acme, run_id=run_id)
    assert paths(sink) == ["a"]
    assert get_definition(tenant=acme, digest=show(acme, run_id).hash).steps[0].id == "a"


def test_every_evaluated_condition_is_on_record(acme, sink, publish) -> None:
    steps = CALL.format(id="a", url=sink.url, attempts=1, delay=0)
    steps += "\n    condition: \"text == 'go' AND channel != 'x'\""
    publish(acme, steps)
    for text, kind, result in (("go", "step_intended", True), ("stop", "step_skipped", False)):
        run_id = start(acme, text=text)
        services.execute_run(tenant=acme, run_id=run_id)
        events = selectors.list_run_events(tenant=acme, run_id=run_id)
        recorded = next(event.data["condition"] for event in events if event.kind == kind)
        assert (recorded["inputs"], recorded["result"]) == ({"text": text, "channel": "api"}, result)
