"""Schedules and events start runs: each moment and each event once, and no circle of them for ever."""

import datetime as dt
import threading

import pytest
from django.db import connections
from django.db.models.functions import Now

from apps.conversations.services import start_conversation
from apps.crm import services as crm
from apps.events.contracts import Envelope
from apps.events.models import OutboxEvent
from apps.orchestration import services, triggers
from apps.orchestration.contracts import RunStatus
from apps.orchestration.definitions.contracts import TriggerDefinition
from apps.orchestration.definitions.language import triggers as language
from apps.orchestration.definitions.language.compiler import find_problems
from apps.orchestration.definitions.language.moments import moments_after
from apps.orchestration.models import AgentRun, ScheduledTrigger
from apps.tenants.context import in_tenant
from apps.tenants.contracts import Role
from apps.tenants.lifecycle import resume_tenant, suspend_tenant
from tests.orchestration.engine import go_on, show
from tests.orchestration.test_api import client_of
from tests.pages import log_in
from workers.consumers import handle_envelope

pytestmark = pytest.mark.usefixtures("no_hints", "valkey")
SAY = """
  - id: "say"
    type: "tool"
    tool: "generic_response"
    config: {text: "%s"}"""
HOURLY = 'triggers: [{type: "schedule", every: "1h"}]'


def event(name, more=""):
    return f'triggers: [{{type: "event", event: "{name}"{more}}}]'


def runs(tenant, **chosen):
    with in_tenant(tenant):
        return list(AgentRun.objects.filter(**chosen).order_by("created_at"))


def schedules(tenant):
    with in_tenant(tenant):
        return list(ScheduledTrigger.objects.order_by("workflow_name"))


def set_due(tenant, hours_ago=0):
    """Let the moments of a tenant's schedules have been so long ago."""
    with in_tenant(tenant):
        for row in ScheduledTrigger.objects.all():
            past = row.next_at - dt.timedelta(hours=1 + hours_ago)
            ScheduledTrigger.objects.filter(id=row.id).update(next_at=past)


def fire(tenant):
    return [triggers.start_scheduled_run(tenant=tenant, trigger_id=row.id) for row in schedules(tenant)]


def envelopes(tenant, kind):
    with in_tenant(tenant):
        rows = OutboxEvent.objects.filter(type=kind).order_by("id").values_list("envelope", flat=True)
        return [Envelope.from_json(row) for row in rows]


def told(tenant, kind):
    """Hand events over as the consumer does; returns what was started."""
    before = len(runs(tenant))
    for envelope in envelopes(tenant, kind):
        with in_tenant(tenant):
            triggers.start_triggered_runs(tenant=tenant, envelope=envelope)
    return runs(tenant)[before:]


def test_a_moment_starts_one_run(acme, globex, publish) -> None:
    publish(acme, SAY % "At ${input.scheduled_for}", HOURLY)
    assert fire(acme) == [False], "not yet"
    set_due(acme)
    moment = schedules(acme)[0].next_at
    assert fire(acme) == [True]
    assert fire(acme) == [False], "the next one is an hour away"
    [run] = runs(acme)
    assert run.input == {"scheduled_for": moment.isoformat()}
    go_on(acme)
    assert show(acme, run.id).steps[0].output == {"text": f"At {moment.isoformat()}"}
    row = schedules(acme)[0]
    assert (row.last_at, row.next_at) == (moment, moment + dt.timedelta(hours=1))
    assert runs(globex) == []


def test_the_same_moment_twice_is_one_run(acme, publish) -> None:
    publish(acme, SAY % "x", HOURLY)
    set_due(acme)
    moment = schedules(acme)[0].next_at
    assert fire(acme) == [True]
    with in_tenant(acme):
        ScheduledTrigger.objects.update(next_at=moment)  # as if it had been made anew
    fire(acme)
    assert len(runs(acme)) == 1


def test_after_a_downtime_the_latest_missed_moment_is_caught_up(acme, publish) -> None:
    publish(acme, SAY % "x", HOURLY)
    latest = schedules(acme)[0].next_at - dt.timedelta(hours=1)
    set_due(acme, hours_ago=30)
    assert fire(acme) == [True]
    assert fire(acme) == [False]
    assert [run.input["scheduled_for"] for run in runs(acme)] == [latest.isoformat()]


def test_publishing_anew_keeps_the_next_moment_and_removing_it_stops_it(acme, publish) -> None:
    publish(acme, SAY % "x", HOURLY)
    set_due(acme)
    due = schedules(acme)[0].next_at
    publish(acme, SAY % "y", HOURLY)
    assert schedules(acme)[0].next_at == due
    publish(acme, SAY % "y")
    assert schedules(acme) == []
    publish(acme, SAY % "z", HOURLY)
    with in_tenant(acme):
        ScheduledTrigger.objects.update(schedule="every 5m", next_at=Now())
    assert fire(acme) == [False], "a schedule that no published version has starts nothing"
    assert schedules(acme) == []


def test_a_start_that_is_refused_is_told_and_tried_again(acme, publish, monkeypatch) -> None:
    publish(acme, SAY % "x", HOURLY)
    set_due(acme)

    def refuse(**given):
        raise triggers.DomainError("The month's runs are spent.")

    with monkeypatch.context() as patched:
        patched.setattr(services, "hold_quota", refuse)
        assert fire(acme) == [False]
    assert runs(acme) == [], "nothing of it is left"
    page = log_in(acme, Role.ADMIN).get("/app/workflows/w/w/").content.decode()
    assert "The last run was refused: The month&#x27;s runs are spent." in page
    set_due(acme)
    assert fire(acme) == [True]
    assert schedules(acme)[0].error == ""


def test_all_tenants_are_served_and_suspended_ones_wait(live_db, acme, globex, publish) -> None:
    for tenant in (acme, globex):
        publish(tenant, SAY % "x", HOURLY)
        set_due(tenant)
    suspend_tenant(tenant=globex, reason="unpaid", actor="staff")
    assert triggers.start_due_schedules() == 1
    assert (len(runs(acme)), len(runs(globex))) == (1, 0)
    resume_tenant(tenant=globex, reason="paid", actor="staff")
    assert triggers.start_due_schedules() == 1
    assert len(runs(globex)) == 1


def test_several_at_once_start_one(live_db, acme, publish) -> None:
    publish(acme, SAY % "x", HOURLY)
    set_due(acme)
    started: list[int] = []

    def look():
        try:
            started.append(triggers.start_due_schedules())
        finally:
            connections.close_all()

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sum(started) == 1
    assert len(runs(acme)) == 1


def at(text):
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("cron", "zone", "after", "expected"),
    [
        ("0 9 * * 1-5", "", "2026-01-02T09:00", ["2026-01-05T09:00", "2026-01-06T09:00"]),
        ("*/20 8 * * *", "Europe/Berlin", "2026-01-01T00:00", ["2026-01-01T07:00", "2026-01-01T07:20"]),
        ("0 0 1 * 7", "", "2026-01-01T00:00", ["2026-01-04T00:00", "2026-01-11T00:00"]),
        ("0 0 29 2 *", "", "2026-01-01T00:00", ["2028-02-29T00:00", "2032-02-29T00:00"]),
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", ["2026-03-29T01:30", "2026-03-30T00:30"]),
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", ["2026-10-25T00:30", "2026-10-26T01:30"]),
        ("0 9 * mar mon", "", "2026-01-01T00:00", ["2026-03-02T09:00", "2026-03-09T09:00"]),
    ],
)
def test_moments(cron, zone, after, expected) -> None:
    found = moments_after(TriggerDefinition("schedule", cron=cron, timezone=zone), at(after))
    assert [next(found), next(found)] == [at(text) for text in expected]


def test_an_event_starts_one_run_with_what_it_tells(acme, globex, publish) -> None:
    publish(acme, SAY % "Order ${input.event.number}", event("order.created"))
    crm.create_order(tenant=acme, number="1042", total_cents=100)
    crm.create_order(tenant=globex, number="7", total_cents=100)
    [run] = told(acme, "agent.order.created")
    assert told(acme, "agent.order.created") == [], "told twice it starts it once"
    assert told(globex, "agent.order.created") == []
    assert run.depth == 1
    go_on(acme)
    assert show(acme, run.id).steps[0].output == {"text": "Order 1042"}


def test_the_consumer_starts_it(live_db, acme, publish) -> None:
    from apps.events.services import list_consumers

    publish(acme, SAY % "x", event("agent.order.created"))
    crm.create_order(tenant=acme, number="1042", total_cents=100)
    consumer = next(c for c in list_consumers() if c.name == "workflow_triggers")
    [envelope] = envelopes(acme, "agent.order.created")
    assert handle_envelope(consumer, envelope)
    assert not handle_envelope(consumer, envelope)
    assert [run.workflow_name for run in runs(acme)] == ["w"]


def test_a_message_gives_its_run_what_an_answer_would_have(acme, publish) -> None:
    publish(acme, SAY % "Heard ${text}", event("message.received"))
    start_conversation(tenant=acme, channel="api", text="Hello")
    [run] = told(acme, "agent.message.received")
    assert (run.input["text"], run.input["channel"], run.conversation_id) == ("Hello", "api", None)
    services.execute_run(tenant=acme, run_id=run.id)
    assert show(acme, run.id).status is RunStatus.COMPLETED


def test_a_circle_of_events_comes_to_an_end(acme, publish) -> None:
    steps = """
  - id: "held"
    type: "tool"
    tool: "{}"
    config: {{order_number: "1042"}}"""
    publish(acme, steps.format("order_release"), event("order.held"), name="releases")
    publish(acme, steps.format("order_hold"), event("order.released"), name="holds")
    crm.create_order(tenant=acme, number="1042", total_cents=100)
    crm.hold_order(tenant=acme, number="1042", effect_key="first")
    for _ in range(20):
        started = told(acme, "agent.order.held") + told(acme, "agent.order.released")
        if not started:
            break
        go_on(acme)
    else:
        raise AssertionError("runs start each other without end")
    assert [run.depth for run in runs(acme)] == [1, 2, 3, 4, 5]


def test_runs_of_another_workflow_may_start_one(acme, publish) -> None:
    publish(acme, SAY % "x", name="other")
    publish(acme, SAY % "x", name="third")
    publish(acme, SAY % "${input.event.workflow}", event("run.completed", ', workflow: "other"'))
    for name in ("other", "third"):
        services.start_run(tenant=acme, workflow_name=name, input={})
    go_on(acme)
    assert [run.workflow_name for run in told(acme, "agent.run.completed")] == ["w"]
    go_on(acme)
    assert told(acme, "agent.run.completed") == []


def test_every_event_that_may_start_one_exists() -> None:
    from aiaas.isolation.work import event_classes

    assert set(language.STARTING_EVENTS) <= {cls.type for cls in event_classes()}


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ('triggers: [{type: "schedule"}]', "one of `cron` and `every`"),
        ('triggers: [{type: "schedule", cron: "0 9 * * *", every: "1h"}]', "one of `cron` and `every`"),
        ('triggers: [{type: "schedule", cron: "0 9 * *"}]', "4 fields, not 5"),
        ('triggers: [{type: "schedule", cron: "0 25 * * *"}]', "no field of a cron line"),
        ('triggers: [{type: "schedule", cron: "0 0 30 2 *"}]', "never comes"),
        ('triggers: [{type: "schedule", cron: "0 0 * * *", timezone: "Mars/Base"}]', "no time zone"),
        ('triggers: [{type: "schedule", cron: "0 0 * * *", timezone: "../../etc/passwd"}]', "no time zone"),
        ('triggers: [{type: "schedule", every: "10s"}]', "one run a minute"),
        ('triggers: [{type: "schedule", every: "1h", event: "x"}]', "has no `event`"),
        ('triggers: [{type: "event", event: "order.made"}]', "starts nothing"),
        ('triggers: [{type: "event", event: "run.completed"}]', "again and again"),
        ('triggers: [{type: "event", event: "run.failed", workflow: "w"}]', "cannot start itself"),
        ('triggers: [{type: "event", event: "order.held", workflow: "x"}]', "of no workflow"),
        (f'{HOURLY}\ninputs: {{n: {{type: "int", required: true}}}}', "required input `n`"),
        (f'{HOURLY}\ninputs: {{scheduled_for: {{type: "int"}}}}', "as a string"),
    ],
)
def test_what_can_start_nothing_is_told_at_its_line(rest, message) -> None:
    problems = find_problems(f'name: "w"\nversion: "1"\nsteps:{SAY % "x"}\n{rest}\n')
    assert any(message in problem.message for problem in problems), problems
    assert all(problem.line >= 8 and problem.fix for problem in problems)


def test_a_router_needs_what_only_a_message_gives() -> None:
    source = 'name: "w"\nversion: "1"\nsteps:\n  - id: "r"\n    type: "router"\n'
    assert "router needs" in find_problems(source + HOURLY)[0].message
    assert "router needs" in find_problems(source + event("order.held"))[0].message
    assert find_problems(source + event("message.received")) == []


def test_over_the_api_and_on_the_page(acme, publish) -> None:
    rest = 'triggers: [{type: "schedule", cron: "0 9 * * 1-5", timezone: "Europe/Berlin"}, {type: "api"}]'
    publish(acme, SAY % "x", rest)
    shown = client_of(acme).get("/api/v1/workflows/w").json()["triggers"]
    assert (shown[0]["cron"], len(shown[0]["next_at"]), shown[1]["next_at"]) == ("0 9 * * 1-5", 3, [])
    page = log_in(acme, Role.VIEWER).get("/app/workflows/w/w/").content.decode()
    assert "cron 0 9 * * 1-5 Europe/Berlin" in page
    assert schedules(acme)[0].next_at.isoformat() in page
    assert schedules(acme)[0].next_at <= dt.datetime.now(dt.UTC) + dt.timedelta(days=4)
