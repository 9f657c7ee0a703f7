"""Every KPI twice: from the read models, and from the raw events by other code. The difference is 0."""

import datetime as dt
import random
import uuid
from zoneinfo import ZoneInfo

import pytest

from apps.analytics import selectors, services
from apps.analytics.checking import check_kpis
from apps.analytics.handlers import on_events
from apps.analytics.kpis import KPIS
from apps.analytics.models import ConversationFact, ReadModelState
from apps.analytics.spans import GRANULARITIES, MAX_DAYS_BY_HOUR, span_between
from apps.analytics.tables import read_agents, read_groups
from apps.tenants.company import update_settings
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from tests.analytics import oracle
from tests.analytics.traffic import AS_OF, BEGIN, HOUR, deliver, event, make_traffic

MARCH = ((2026, 3, 1), (2026, 3, 31))
# Of the zones below, summer time begins in two in March, two begin their days off the hour.
PERIODS = [MARCH, ((2026, 3, 8), (2026, 3, 9)), ((2026, 3, 15), (2026, 3, 15))]
WINDOW = 48 * HOUR


def span_of(days: tuple, zone: str = "UTC"):
    return span_between(*(dt.date(*day) for day in days), ZoneInfo(zone))


def expected(told: list, start: dt.datetime, end: dt.datetime) -> dict:
    return oracle.kpis_of(told, start, end, window=WINDOW, as_of=AS_OF)


@pytest.mark.parametrize("seed", range(2))
def test_read_models_and_raw_events_agree(acme: TenantRef, globex: TenantRef, seed: int):
    dice = random.Random(seed)
    home, other = ("UTC", "America/St_Johns") if seed else ("Asia/Kathmandu", "Europe/Berlin")
    update_settings(tenant=acme, name="Acme", time_zone=home, silence_hours=48, actor="test")
    events = make_traffic(dice, acme, 40)
    deliver(dice, acme, events)
    deliver(dice, globex, make_traffic(dice, globex, 4))
    services.settle_silences(tenant=acme, as_of=AS_OF)
    assert check_kpis(tenant=acme, as_of=AS_OF).differences == []  # a third way, in SQL
    told = oracle.conversations_of(events)
    for days in PERIODS:
        compare(acme, told, span_of(days, home))  # from days
        compare(acme, told, span_of(days, other))  # from buckets
    update_settings(tenant=acme, name="Acme", time_zone=other, silence_hours=48, actor="test")
    services.settle_silences(tenant=acme, as_of=AS_OF)
    with in_tenant(acme):
        assert ReadModelState.objects.get().time_zone == other
    assert check_kpis(tenant=acme, as_of=AS_OF).differences == []
    compare(acme, told, span_of(MARCH, other))  # from days again


def compare(tenant: TenantRef, told: list, span) -> None:
    for granularity in GRANULARITIES[1:] if span.days > MAX_DAYS_BY_HOUR else GRANULARITIES[:1]:
        report = selectors.read_kpis(tenant=tenant, span=span, granularity=granularity)
        assert not oracle.differences(report.values, expected(told, span.start, span.end))
        assert not oracle.differences(report.before, expected(told, span.before.start, span.before.end))
        for steps, end in ((report.steps, span.end), (report.steps_before, span.start)):
            edges = [step for step, _ in steps] + [end]
            for (start, values), following in zip(steps, edges[1:], strict=True):
                assert not oracle.differences(values, expected(told, start, following)), start
    began = oracle.began_in(told, span.start, span.end)
    assert dict(report.reasons) == oracle.reasons_of(began)
    compare_tables(tenant, began, span)


def compare_tables(tenant: TenantRef, began: list, span) -> None:
    people = {row.agent: row for row in read_agents(tenant=tenant, span=span)}
    counts = oracle.people_of(began)
    assert set(people) == set(counts)
    for person, row in people.items():
        for name in ("claims", "replies", "resolutions", "rated", "rated_good"):
            assert getattr(row, name) == counts[person][name], (person, name)
    for row in read_groups(tenant=tenant, span=span, by="channel"):
        mine = [one for one in began if one.of("message.received")[0]["channel"] == row.name]
        values = expected(mine, span.start, span.end)
        assert row.conversations == values["conversations"]
        assert row.first_response_ms == values["first_response_p50"]
        assert not oracle.differences(
            {"csat": oracle.ratio(row.rated_good, row.rated)}, {"csat": values["csat"]}
        )
    intents = read_groups(tenant=tenant, span=span, by="intent")
    assert sum(row.conversations for row in intents) == len(began)


def test_a_period_that_runs_is_compared_up_to_the_same_moment(acme: TenantRef):
    dice = random.Random(5)
    events = make_traffic(dice, acme, 30)
    deliver(dice, acme, events)
    told = oracle.conversations_of(events)
    span = span_of(((2026, 3, 11), (2026, 3, 20)))
    now = dt.datetime(2026, 3, 16, 9, 50, tzinfo=dt.UTC)
    report = selectors.read_kpis(tenant=acme, span=span, now=now)
    assert report.before_until == dt.datetime(2026, 3, 6, 10, 0, tzinfo=dt.UTC)
    before = oracle.began_in(told, span.before.start, report.before_until)
    assert report.before["conversations"] == len(before)
    assert len(before) < sum(values["conversations"] for _, values in report.steps_before)


def test_a_customer_who_comes_back_takes_the_resolution_back(acme: TenantRef):
    conversation = uuid.uuid4()
    receipt = {"knows": True, "intent": "faq", "provider": "extractive", "cost_microusd": 10}
    told = [
        event(acme, conversation, "message.received", BEGIN, channel="widget", text="a", seq=1),
        event(acme, conversation, "run.completed", BEGIN + HOUR, receipt=receipt),
        event(acme, conversation, "message.sent", BEGIN + HOUR, author="ai"),
    ]
    deliver(random.Random(0), acme, told)
    span = span_of(MARCH)
    resolved = lambda: selectors.read_kpis(tenant=acme, span=span).values["resolution_rate"]  # noqa: E731
    with in_tenant(acme):
        ConversationFact.objects.update(settles_at=BEGIN + 73 * HOUR)
    services.settle_silences(tenant=acme, as_of=BEGIN + 73 * HOUR)
    assert resolved() == 1
    back = event(
        acme, conversation, "message.received", BEGIN + 100 * HOUR, channel="widget", text="b", seq=3
    )
    with in_tenant(acme):
        on_events([back])
    assert resolved() == 0


def test_the_rows_behind_each_figure_add_up_to_it(filled: TenantRef):
    span = span_of(MARCH)
    sums = selectors.sum_measures(tenant=filled, span=span)
    for kpi in KPIS:
        with in_tenant(filled):
            rows = list(selectors.list_rows(tenant=filled, span=span, kpi=kpi))
            others = list(selectors.list_rows(tenant=filled, span=span, kpi=kpi, others=True))
        counted = sum(row.counted.get(part, 0) for row in rows for part in kpi.parts)
        assert rows, kpi.key
        assert counted == sum(sums[part] for part in kpi.parts), kpi.key
        if kpi.unit in ("count", "duration_ms"):
            assert len(rows) == counted, kpi.key
        if kpi.unit == "ratio" and kpi.key != "knowledge_gap_rate":  # that one counts answers
            assert len(rows) == counted, kpi.key
            assert len(rows) + len(others) == sum(sums[whole] for whole in kpi.whole), kpi.key
