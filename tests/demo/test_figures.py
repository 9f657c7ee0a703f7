"""The demo companies after a day: every KPI and the invoice, from read models and from raw events."""

import datetime as dt
import random
import uuid
from collections import Counter
from decimal import Decimal
from fractions import Fraction

import pytest
from django.core.management import call_command
from django.utils import timezone
from django.utils.module_loading import import_string

from aiaas.demo.companies import Company
from aiaas.subscriptions import CONSUMERS
from apps.analytics import selectors as analytics
from apps.billing import selectors as billing
from apps.billing.contracts import Tier
from apps.billing.services import publish_price
from apps.conversations import services as conversations
from apps.events.contracts import Envelope
from apps.events.models import OutboxEvent
from apps.gateway.questions import await_reply, put_question
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.selectors import get_tenant
from tests.analytics import oracle
from tests.billing.oracle import cents, cost_of
from tests.demo.test_seed import seed_all

ASKED = {
    "shop": ["How long do I have to return an item?", "Hello!", "Do you sell helicopters?"],
    "software": ["How do I set up SSO with Okta?", "What is included in the Team plan?"],
}
PERSON = f"user:{uuid.UUID(int=1)}"
PRICES = {
    "message": ([Tier(1, Decimal("0.0125")), Tier(3, Decimal("0.333333333333"))],
                [(1, Fraction(125, 10_000)), (3, Fraction(333_333_333_333, 10**12))]),
    "run": ([Tier(0, Decimal("0.005"))], [(0, Fraction(5, 1000))]),
}  # fmt: skip


def live_a_day(tenant: TenantRef) -> None:
    """Customers ask, rate and complain; a person helps: all by the product's own services."""
    started = [put_question(tenant=tenant, text=text) for text in ASKED[tenant.slug]]
    for question in started:
        await_reply(question, wait_s=20)
    conversations.rate_conversation(tenant=tenant, conversation_id=started[0].conversation_id, score=5)
    complaint = started[-1].conversation_id
    escalation = conversations.open_escalation(
        tenant=tenant, conversation_id=complaint, reason="asked for a person", effect_key="1"
    )
    conversations.claim_escalation(tenant=tenant, escalation_id=escalation.id, agent=PERSON)
    conversations.send_agent_message(
        tenant=tenant, conversation_id=complaint, agent=PERSON, text="I have looked.", reply_key="1"
    )
    conversations.resolve_escalation(tenant=tenant, escalation_id=escalation.id, agent=PERSON)
    conversations.close_conversation(tenant=tenant, conversation_id=complaint, actor=PERSON)


def events_of(tenant: TenantRef) -> list[Envelope]:
    with in_tenant(tenant):
        rows = OutboxEvent.objects.filter(tenant_id=tenant.id).order_by("position")
        return [Envelope.from_json(envelope) for envelope in rows.values_list("envelope", flat=True)]


def deliver_twice(tenant: TenantRef, events: list[Envelope], dice: random.Random) -> None:
    """Hand every event to the consumers that hear it, doubled and in another order."""
    heard = {
        subject: consumer
        for consumer in CONSUMERS
        for subject in consumer.subjects
        if consumer.name in ("analytics", "usage_projection")
    }
    sent = [event for event in events * 2 if event.type in heard]
    dice.shuffle(sent)
    for event in sent:
        consumer = heard[event.type]
        with in_tenant(tenant):
            import_string(consumer.handler)([event] if consumer.takes_many else event)


def test_figures_and_invoice_of_the_demo_agree_with_their_events(
    companies: list[Company], monkeypatch: pytest.MonkeyPatch
) -> None:
    seed_all(companies, monkeypatch)
    for company in companies:
        tenant = get_tenant(slug=company.slug)
        tiers = {kind: tiers for kind, (tiers, _) in PRICES.items()}
        publish_price(plan_code="business", base_fee_cents=9900, tiers=tiers, for_tenant=tenant)
        live_a_day(tenant)
        events = events_of(tenant)
        deliver_twice(tenant, events, random.Random(1))
        assert_kpis(tenant, events)
        assert_draft(tenant, events)
        assert len(billing.list_periods(tenant=tenant)) == 2  # one is invoiced
        call_command("check_figures", "--tenant", tenant.slug)


def assert_kpis(tenant: TenantRef, events: list[Envelope]) -> None:
    today = timezone.now().date()
    day = dt.timedelta(days=1)
    span = analytics.span_of(tenant=tenant, first=today - day, last=today + day)
    report = analytics.read_kpis(tenant=tenant, span=span)
    told = oracle.conversations_of(events)
    expected = oracle.kpis_of(
        told, span.start, span.end, window=72 * dt.timedelta(hours=1), as_of=timezone.now()
    )
    assert expected["conversations"] == len(ASKED[tenant.slug])
    assert expected["escalation_rate"]
    assert not oracle.differences(report.values, expected)


def assert_draft(tenant: TenantRef, events: list[Envelope]) -> None:
    draft = billing.get_draft(tenant=tenant)
    assert draft is not None
    used: Counter = Counter()
    for event in {event.id: event for event in events}.values():
        if event.type == "billing.usage.recorded" and event.occurred_at >= draft.period.start:
            used[event.data["kind"]] += event.data["quantity"]
    lines = {line.kind: line for line in draft.lines if line.type == "usage"}
    assert {kind: line.quantity for kind, line in lines.items()} == used
    for kind, line in lines.items():
        _, steps = PRICES.get(kind, ([], []))
        assert Fraction(line.amount) == cost_of(used[kind], steps)
        assert line.amount_cents == cents(cost_of(used[kind], steps))
    late = sum(line.amount_cents for line in draft.lines if line.type == "late_usage")
    assert draft.total_cents == 9900 + late + sum(line.amount_cents for line in lines.values())
