import datetime as dt
from uuid import uuid4

import pytest
from django.db import ProgrammingError, transaction

from apps.billing import selectors, services
from apps.billing.handlers import on_usage_recorded
from apps.billing.models import UsageBucket, UsageEvent
from apps.events.contracts import Envelope
from apps.events.models import OutboxEvent
from apps.resilience.errors import NotFoundError
from apps.tenants.context import in_tenant, write_waiting

NOON = dt.datetime(2026, 3, 5, 12, 7, tzinfo=dt.UTC)


def usage(tenant, *, kind="message", quantity=1, at=NOON, source="m1") -> Envelope:
    return Envelope(
        id=uuid4(),
        type="billing.usage.recorded",
        version=1,
        tenant_id=tenant.id,
        occurred_at=at,
        data={"kind": kind, "quantity": quantity, "source_id": source, "detail": {}},
    )


def deliver(tenant, *envelopes):
    with in_tenant(tenant):
        for envelope in envelopes:
            on_usage_recorded(envelope)


def totals(tenant):
    days = selectors.get_usage(
        tenant=tenant, start=NOON - dt.timedelta(days=9), end=NOON + dt.timedelta(days=9)
    )
    return {(day.date.isoformat(), day.kind): day.quantity for day in days}


def test_usage_is_summed_by_day_and_kind(acme):
    deliver(
        acme,
        usage(acme, quantity=3),
        usage(acme, quantity=4, at=NOON + dt.timedelta(minutes=1)),
        usage(acme, quantity=5, at=NOON + dt.timedelta(days=1)),
        usage(acme, kind="prompt_token", quantity=900),
    )
    assert totals(acme) == {
        ("2026-03-05", "message"): 7,
        ("2026-03-05", "prompt_token"): 900,
        ("2026-03-06", "message"): 5,
    }


def test_a_repeated_event_counts_once(acme):
    envelope = usage(acme, quantity=3)
    deliver(acme, envelope, envelope)
    deliver(acme, envelope)
    assert totals(acme) == {("2026-03-05", "message"): 3}
    with in_tenant(acme):
        assert UsageEvent.objects.count() == 1


def test_usage_of_one_tenant_is_invisible_to_another(acme, globex):
    deliver(acme, usage(acme))
    assert totals(globex) == {}


def test_buckets_equal_the_sum_of_events(acme):
    moments = [NOON + dt.timedelta(minutes=minute) for minute in (0, 7, 8, 22, 23, 100)]
    deliver(acme, *(usage(acme, quantity=i + 1, at=at) for i, at in enumerate(moments)))
    with in_tenant(acme):
        buckets = {
            bucket.starts_at.strftime("%H:%M"): bucket.quantity for bucket in UsageBucket.objects.all()
        }
    assert buckets == {"12:00": 1 + 2, "12:15": 3 + 4, "12:30": 5, "13:45": 6}


@pytest.mark.parametrize("data", [{"kind": "gold"}, {"quantity": 0}, {"quantity": -1}, {"quantity": "many"}])
def test_what_is_no_usage_is_refused(acme, data):
    envelope = usage(acme)
    envelope.data.update(data)
    with pytest.raises(ValueError):
        deliver(acme, envelope)
    assert totals(acme) == {}


def test_recording_publishes_one_event_for_one_source(acme):
    for _ in range(2):
        services.record_usage(tenant=acme, kind="run", quantity=1, source_id="r1")
    services.record_usage(tenant=acme, kind="run", quantity=0, source_id="r2")
    with in_tenant(acme):
        events = list(OutboxEvent.objects.filter(type="billing.usage.recorded"))
        assert [event.envelope["data"]["source_id"] for event in events] == ["r1"]
        on_usage_recorded(Envelope.from_json(events[0].envelope))
        assert UsageEvent.objects.get().source_id == "r1"


def test_a_runs_usage_is_told_in_one_statement(acme, django_assert_num_queries):
    quantities = {"run": 1, "prompt_token": 20, "completion_token": 30}
    services.record_usages(tenant=acme, quantities=quantities, source_id="r0")  # the plan is remembered
    with in_tenant(acme), django_assert_num_queries(1):
        services.record_usages(tenant=acme, quantities=quantities, source_id="r1")
        write_waiting()
    with in_tenant(acme):
        assert OutboxEvent.objects.filter(type="billing.usage.recorded").count() == 6


@pytest.mark.parametrize(("kind", "quantity"), [("gold", 1), ("run", -1)])
def test_recording_nonsense_is_refused(acme, kind, quantity):
    with pytest.raises(ValueError):
        services.record_usage(tenant=acme, kind=kind, quantity=quantity, source_id="r")


def test_usage_events_cannot_be_changed(acme):
    deliver(acme, usage(acme))
    with in_tenant(acme):
        with pytest.raises(ProgrammingError), transaction.atomic():
            UsageEvent.objects.update(quantity=0)
        with pytest.raises(ProgrammingError), transaction.atomic():
            UsageEvent.objects.all().delete()


def test_quota_counts_the_current_period_only(acme, monkeypatch):
    monkeypatch.setattr("django.utils.timezone.now", lambda: NOON)
    services.subscribe_tenant(tenant=acme, plan_code="business", anchor=dt.date(2026, 1, 31))
    deliver(
        acme,
        usage(acme, quantity=10, at=dt.datetime(2026, 2, 27, 23, 59, tzinfo=dt.UTC)),
        usage(acme, quantity=20, at=dt.datetime(2026, 2, 28, 0, 0, tzinfo=dt.UTC)),
    )
    quota = selectors.get_quota(tenant=acme, kind="message")
    assert (quota.used, quota.limit, quota.remaining, quota.is_spent) == (20, 50_000, 49_980, False)
    assert quota.resets_at == dt.datetime(2026, 3, 31, tzinfo=dt.UTC)


def test_a_new_tenant_is_on_its_plan_and_may_change_it(acme):
    assert selectors.get_plan(tenant=acme).code == "starter"
    first = selectors.get_subscription(tenant=acme)
    changed = services.subscribe_tenant(tenant=acme, plan_code="enterprise")
    assert (changed.plan.code, changed.period) == ("enterprise", first.period)
    with pytest.raises(NotFoundError, match="business"):
        services.subscribe_tenant(tenant=acme, plan_code="gold")
    assert selectors.get_plan(tenant=acme).code == "enterprise"


def test_a_kind_that_the_plan_does_not_name_is_unlimited(acme):
    quota = selectors.get_quota(tenant=acme, kind="prompt_token")
    assert (quota.limit, quota.remaining, quota.is_spent) == (None, None, False)
