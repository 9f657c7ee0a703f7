"""The invoice: computed from buckets, from raw events and by an independent oracle; final once."""

import datetime as dt
from decimal import Decimal
from fractions import Fraction

import pytest
from django.db import IntegrityError, ProgrammingError, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.billing import selectors, services
from apps.billing.contracts import LineType, Tier
from apps.billing.models import BillingAccount, Invoice, InvoiceLine, Plan
from apps.billing.rating import rate, split_by_tier, to_cents
from apps.events.models import OutboxEvent
from apps.resilience.errors import ConflictError, InvalidInput
from apps.tenants.context import in_tenant
from tests.billing.generated import deliver, usage
from tests.billing.oracle import cents, cost_of

START = dt.datetime(2026, 3, 5, tzinfo=dt.UTC)
NEXT = dt.datetime(2026, 4, 5, tzinfo=dt.UTC)
AFTER = NEXT + dt.timedelta(hours=2)
HOUR = dt.timedelta(hours=1)
TIERS = {
    "message": [Tier(100, Decimal("0.0125")), Tier(250, Decimal("0.01"))],
    "prompt_token": [Tier(0, Decimal("0.000000333333"))],
    "document": [Tier(5, Decimal("0.333333333333"))],
}
ORACLE = {
    "message": [(100, Fraction(125, 10_000)), (250, Fraction(1, 100))],
    "prompt_token": [(0, Fraction(333_333, 10**12))],
    "document": [(5, Fraction(333_333_333_333, 10**12))],
}


def oracle(kind: str, quantity: int) -> Fraction:
    return cost_of(quantity, ORACLE.get(kind, []))


@pytest.fixture
def plan(acme):
    made = Plan.objects.create(code="metered", name="Metered", price_cents=4900, requests_per_minute=60)
    services.publish_price(
        plan_code="metered", base_fee_cents=4900, tiers=TIERS, valid_from=START - dt.timedelta(days=99)
    )
    services.subscribe_tenant(tenant=acme, plan_code="metered")
    services.begin_billing_on(tenant=acme, day=START.date())
    return made


def finalise(tenant, now=AFTER):
    return [
        selectors.get_invoice(tenant=tenant, invoice_id=found)
        for found in services.finalise_invoices(tenant=tenant, now=now)
    ]


def amounts(invoice):
    return {
        (line.type.value, line.kind, line.period.start): (line.quantity, line.amount_cents)
        for line in invoice.lines
    }


def test_a_period_is_invoiced_once_with_what_was_used(acme, globex, plan):
    deliver(acme, usage(acme, START, quantity=120), usage(acme, NEXT - HOUR, quantity=10))
    deliver(acme, usage(acme, NEXT, quantity=999), usage(acme, START, "document", 6))
    [invoice] = finalise(acme)
    assert amounts(invoice) == {
        ("base_fee", "", START): (1, 4900),
        ("usage", "message", START): (130, 38),  # 30 at 0.0125 are 0.375
        ("usage", "document", START): (6, 33),
    }
    assert (invoice.number, invoice.total_cents, invoice.event_count) == ("ACME-00001", 4971, 3)
    assert finalise(acme) == []
    assert selectors.get_draft(tenant=acme).period.start == NEXT
    with in_tenant(acme):
        told = OutboxEvent.objects.filter(type="billing.invoice.finalised")
        assert [event.envelope["data"]["number"] for event in told] == ["ACME-00001"]
    with in_tenant(globex):
        assert not Invoice.objects.exists()
        assert not InvoiceLine.objects.exists()


def test_nothing_is_final_before_the_grace_is_over(acme, plan):
    assert finalise(acme, now=NEXT + HOUR - dt.timedelta(seconds=1)) == []
    assert len(finalise(acme, now=NEXT + HOUR)) == 1


def test_late_usage_goes_to_the_next_invoice_in_its_own_tiers(acme, plan):
    deliver(acme, usage(acme, START, quantity=90))
    [first] = finalise(acme)
    late = usage(acme, NEXT - HOUR, quantity=30)
    deliver(acme, late, late, usage(acme, NEXT + HOUR, quantity=50))
    draft = selectors.get_draft(tenant=acme)
    assert draft.lines == selectors.get_draft(tenant=acme, from_events=True).lines
    [second] = finalise(acme, now=AFTER + dt.timedelta(days=31))
    # 90 were free; of the 30 more the first 10 still are, and 20 at 0.0125 cost 0.25
    assert amounts(second)["late_usage", "message", START] == (30, 25)
    assert amounts(second)["usage", "message", NEXT] == (50, 0)
    deliver(acme, usage(acme, NEXT - HOUR, quantity=3))
    [third] = finalise(acme, now=AFTER + dt.timedelta(days=62))
    assert amounts(third)["late_usage", "message", START] == (3, 4)  # 23 cost 0.2875; 0.25 is billed
    for invoice in (first, second, third):
        again = selectors.rate_again(tenant=acme, invoice_id=invoice.id)
        assert again == selectors.get_invoice(tenant=acme, invoice_id=invoice.id) == invoice


def test_usage_from_before_the_first_period_is_billed_too(acme, plan):
    deliver(acme, usage(acme, START - HOUR, "prompt_token", 9_000_000))
    [invoice] = finalise(acme)
    line = next(line for line in invoice.lines if line.type == LineType.LATE_USAGE)
    assert (line.period.end, line.amount_cents) == (START, 300)


def test_several_missed_periods_are_caught_up_in_order(acme, plan):
    deliver(acme, usage(acme, START, quantity=200), usage(acme, NEXT, quantity=300))
    invoices = finalise(acme, now=AFTER + dt.timedelta(days=70))
    assert [invoice.number for invoice in invoices] == ["ACME-00001", "ACME-00002", "ACME-00003"]
    assert [invoice.period.start for invoice in invoices[1:]] == [i.period.end for i in invoices[:-1]]
    assert [invoice.total_cents for invoice in invoices] == [4900 + 125, 4900 + 188 + 50, 4900]


def test_killed_between_its_two_steps_it_finishes_with_the_same_cut_off(acme, plan, monkeypatch):
    deliver(acme, usage(acme, START, quantity=200))
    with monkeypatch.context() as patch:
        patch.setattr("apps.billing.services.invoices._freeze", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            services.finalise_invoices(tenant=acme, now=AFTER)
    with in_tenant(acme):
        assert Invoice.objects.get().status == "closing"
        assert BillingAccount.objects.get().last_number == 0
    deliver(acme, usage(acme, START, quantity=7))  # after the cut-off: late
    [invoice] = finalise(acme)
    assert amounts(invoice)["usage", "message", START] == (200, 125)
    assert amounts(selectors.get_draft(tenant=acme))["late_usage", "message", START] == (7, 9)


def test_the_database_keeps_one_invoice_a_period_and_final_ones_as_they_are(acme, plan):
    finalise(acme)
    with in_tenant(acme):
        final = Invoice.objects.get()
        twin = {name: getattr(final, name) for name in ("time_zone", "period_end", "stored_until")}
        with pytest.raises(IntegrityError, match="one_invoice_per_period"), transaction.atomic():
            Invoice.objects.create(period_start=final.period_start, **twin)
        for change in (
            lambda: Invoice.objects.update(total_cents=0),
            lambda: Invoice.objects.all()._raw_delete("default"),
        ):
            with pytest.raises(IntegrityError, match="is final"), transaction.atomic():
                change()
        with pytest.raises(ProgrammingError), transaction.atomic():
            InvoiceLine.objects.update(amount_cents=0)


def test_an_invoice_keeps_the_price_version_it_was_rated_with(acme, plan):
    deliver(acme, usage(acme, START, quantity=200))
    services.publish_price(
        plan_code="metered", base_fee_cents=9900, tiers={}, valid_from=START + dt.timedelta(days=9)
    )
    [invoice] = finalise(acme)
    assert {line.price_version for line in invoice.lines} == {1}
    draft = selectors.get_draft(tenant=acme)
    assert (draft.total_cents, draft.lines[0].price_version) == (9900, 2)
    assert selectors.rate_again(tenant=acme, invoice_id=invoice.id) == invoice


def test_a_price_of_ones_own(acme, globex, plan):
    services.publish_price(plan_code="metered", base_fee_cents=100, tiers={}, for_tenant=acme)
    services.subscribe_tenant(tenant=globex, plan_code="metered", anchor=START.date())
    assert selectors.get_draft(tenant=acme).lines[-1].amount_cents == 100
    assert selectors.get_draft(tenant=globex).lines[-1].price_version == 1
    assert Plan.objects.get(code="metered").price_cents == 4900


def test_a_final_invoice_keeps_its_prices_whatever_is_agreed_later(acme, plan):
    deliver(acme, usage(acme, START - HOUR, quantity=130), usage(acme, START, quantity=200))
    [first] = finalise(acme)
    services.publish_price(plan_code="metered", base_fee_cents=7, tiers={}, for_tenant=acme)
    services.subscribe_tenant(tenant=acme, plan_code="enterprise")
    again = selectors.rate_again(tenant=acme, invoice_id=first.id)
    assert again.total_cents == first.total_cents
    assert again == first
    assert selectors.list_changed_invoices(tenant=acme) == []
    Plan.objects.filter(code="metered").update(name="Renamed")
    assert selectors.list_changed_invoices(tenant=acme) == []


def test_a_plan_of_another_currency_is_refused(acme, plan):
    Plan.objects.create(code="euro", name="Euro", currency="EUR", requests_per_minute=60)
    with pytest.raises(ConflictError, match="billed in USD"):
        services.subscribe_tenant(tenant=acme, plan_code="euro")


@pytest.mark.parametrize(
    ("fee", "tiers"),
    [
        (-1, {}),
        (0, {"gold": [Tier(0, Decimal(1))]}),
        (0, {"message": [Tier(5, Decimal(1)), Tier(5, Decimal(2))]}),
        (0, {"message": [Tier(-1, Decimal(1))]}),
        (0, {"message": [Tier(0, Decimal(-1))]}),
        (0, {"message": [Tier(0, Decimal("NaN"))]}),
    ],
)
def test_prices_that_cannot_be_are_refused(acme, plan, fee, tiers):
    with pytest.raises(InvalidInput):
        services.publish_price(plan_code="metered", base_fee_cents=fee, tiers=tiers)
    assert plan.prices.count() == 1


@given(st.integers(0, 10**15), st.integers(0, 10**15))
def test_rating_agrees_with_fractions_and_adds_up_in_instalments(before, more):
    for kind, tiers in TIERS.items():
        whole = rate(quantity=before + more, tiers=tiers)
        assert Fraction(whole) == oracle(kind, before + more)
        assert to_cents(whole) == cents(oracle(kind, before + more))
        parts = split_by_tier(before=before, quantity=more, tiers=tiers)
        assert sum(share.quantity for share in parts) == more
        assert sum(Fraction(share.amount) for share in parts) == Fraction(whole) - oracle(kind, before)


traffic = st.lists(
    st.tuples(
        st.sampled_from(["message", "prompt_token", "document", "run"]),
        st.integers(1, 400),
        st.integers(-20, 92 * 24 * 60),  # minutes from the start: also before it
        st.integers(0, 3),  # delivered after the closing of so many periods
        st.booleans(),  # delivered twice
    ),
    max_size=24,
)


@settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(traffic, st.randoms(use_true_random=False))
def test_every_event_is_billed_once_however_it_arrives(acme, plan, generated, random):
    with transaction.atomic():
        events = [
            (usage(acme, START + dt.timedelta(minutes=m), kind, q), step, twice)
            for kind, q, m, step, twice in generated
        ]
        for step in range(4):
            now = [envelope for envelope, when, _ in events if when == step]
            now += [envelope for envelope, when, twice in events if twice and when <= step]
            random.shuffle(now)
            deliver(acme, *now)
            draft = selectors.get_draft(tenant=acme)
            assert draft.lines == selectors.get_draft(tenant=acme, from_events=True).lines
            finalise(acme, now=AFTER + dt.timedelta(days=31 * step))
        finalise(acme, now=AFTER + dt.timedelta(days=31 * 4))
        _compare_with_oracle(acme, [envelope for envelope, _, _ in events])
        transaction.set_rollback(True)


def _compare_with_oracle(tenant, envelopes):
    used: dict = {}
    with in_tenant(tenant):
        final = list(Invoice.objects.order_by("number"))
        lines = list(InvoiceLine.objects.exclude(type="base_fee"))
    for envelope in envelopes:
        period = next(
            (i.period_start for i in final if i.period_start <= envelope.occurred_at < i.period_end), None
        )
        key = (period, envelope.data["kind"])
        used[key] = used.get(key, 0) + envelope.data["quantity"]
    billed: dict = {}
    starts = {invoice.period_start for invoice in final}
    for line in lines:
        key = (line.period_start if line.period_start in starts else None, line.kind)
        quantity, paid = billed.get(key, (0, 0))
        billed[key] = quantity + line.quantity, paid + line.amount_cents
    assert billed == {key: (quantity, cents(oracle(key[1], quantity))) for key, quantity in used.items()}
    assert [invoice.number for invoice in final] == list(range(1, len(final) + 1))
