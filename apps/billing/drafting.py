"""Compose an invoice's lines from sums; the same sums and prices always give the same lines."""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from django.db.models import Sum

from apps.billing.contracts import LineType, LineView, Period, Tier, UsageKind, label_of
from apps.billing.models import Invoice, InvoiceLine, PlanPrice, Subscription
from apps.billing.periods import period_at
from apps.billing.pricing import Part, price_of, subscriptions_in, tiers_of
from apps.billing.rating import add, prorate, rate_in_cents, split_by_tier, to_cents
from apps.billing.sums import UsageSums, find_late_moments, sum_buckets, sum_events

ORDER = {kind.value: place for place, kind in enumerate(UsageKind)}


@dataclass(frozen=True)
class PricedLine:
    """A line and the price version that it was rated with."""

    line: LineView
    price: PlanPrice


@dataclass(frozen=True)
class Billed:
    """What earlier invoices have billed of a period and kind."""

    quantity: int = 0
    cents: int = 0


@dataclass(frozen=True)
class Pricing:
    """Who was on what, and the prices of late usage by the start of the period that it belongs to."""

    parts: list[Part]
    late: Mapping[dt.datetime, PlanPrice] = field(default_factory=dict)


def compose_lines(
    period: Period, sums: UsageSums, *, before: int | None = None, pricing: Pricing | None = None
) -> list[PricedLine]:
    """Return the fee's, the period's and the late usage's lines, in this order, in the tenant's transaction.

    Late usage is what earlier invoices have not billed yet: those with numbers below `before`, if given.
    `pricing` is what holds instead of what the subscriptions say now.
    """
    pricing = pricing or Pricing(subscriptions_in(period))
    parts = pricing.parts
    if not parts:
        return []
    lines = [_fee_line(row, price, part, period) for row, price, part in parts]
    price = parts[-1][1]
    tiers = tiers_of(price)
    lines += [
        _usage_line(kind, sums.own[kind], Billed(), period, price, tiers.get(kind, []))
        for kind in sorted(sums.own, key=_place)
    ]
    return lines + _late_lines(period, sums, before, pricing.late)


def frozen_pricing(invoice: Invoice) -> Pricing:
    """Return the prices that a final invoice was rated with, whatever was agreed on since."""
    lines = list(invoice.lines.select_related("price__plan").prefetch_related("price__tiers"))
    fees = [line for line in lines if line.type == LineType.BASE_FEE]
    late = {line.period_start: line.price for line in lines if line.type == LineType.LATE_USAGE}
    return Pricing(
        [
            (Subscription(plan=fee.price.plan), fee.price, Period(fee.period_start, fee.period_end))
            for fee in fees
        ],
        late,
    )


def rate_invoice(invoice: Invoice, *, pricing: Pricing | None = None) -> tuple[list[PricedLine], int, str]:
    """Compute an invoice from its frozen inputs: lines, number of events, checksum."""
    period = Period(invoice.period_start, invoice.period_end)
    sums = sum_events(
        start=period.start,
        end=period.end,
        stored_after=invoice.stored_after,
        stored_until=invoice.stored_until,
    )
    lines = compose_lines(period, sums, before=invoice.number, pricing=pricing)
    return lines, sums.event_count, sums.checksum


def late_sums_from_buckets(
    start: dt.datetime, stored_after: dt.datetime | None
) -> dict[tuple[dt.datetime, str], int]:
    """Return what the buckets hold of earlier periods and no invoice billed, by (period's start, kind)."""
    moments = find_late_moments(start=start, stored_after=stored_after)
    late = {}
    for period, _ in _periods_of(moments, start):
        billed = _billed([period.start], None)
        for kind, quantity in sum_buckets(start=period.start, end=period.end).items():
            unbilled = quantity - billed.get((period.start, kind), Billed()).quantity
            if unbilled:
                late[period.start, kind] = unbilled
    return late


def _late_lines(
    period: Period, sums: UsageSums, before: int | None, frozen: Mapping[dt.datetime, PlanPrice]
) -> list[PricedLine]:
    periods = _periods_of(sorted({moment for moment, _ in sums.late}), period.start)
    billed = _billed([found.start for found, _ in periods], before)
    lines = []
    for found, present in periods:
        price = frozen.get(found.start, present)
        quantities: dict[str, int] = {}
        for (moment, kind), quantity in sums.late.items():
            if found.start <= moment < found.end:
                quantities[kind] = quantities.get(kind, 0) + quantity
        tiers = tiers_of(price)
        for kind in sorted(quantities, key=_place):
            known = billed.get((found.start, kind), Billed())
            lines.append(
                _usage_line(kind, quantities[kind], known, found, price, tiers.get(kind, []), late=True)
            )
    return lines


def _fee_line(row: Subscription, price: PlanPrice, part: Period, period: Period) -> PricedLine:
    one = dt.timedelta(microseconds=1)
    share, whole = (part.end - part.start) // one, (period.end - period.start) // one
    amount = prorate(cents=price.base_fee_cents, part=share, whole=whole)
    description = f"{row.plan.name}, base fee" + ("" if share == whole else ", part of the period")
    line = LineView(LineType.BASE_FEE, "", description, part, 1, amount, to_cents(amount), price.version)
    return PricedLine(line, price)


def _usage_line(
    kind: str,
    quantity: int,
    billed: Billed,
    period: Period,
    price: PlanPrice,
    tiers: list[Tier],
    late: bool = False,
) -> PricedLine:
    shares = split_by_tier(before=billed.quantity, quantity=quantity, tiers=tiers)
    cents = rate_in_cents(quantity=billed.quantity + quantity, tiers=tiers) - billed.cents
    line = LineView(
        type=LineType.LATE_USAGE if late else LineType.USAGE,
        kind=kind,
        description=label_of(kind) + (", reported late" if late else ""),
        period=period,
        quantity=quantity,
        amount=add(share.amount for share in shares),
        amount_cents=cents,
        price_version=price.version,
        shares=shares,
    )
    return PricedLine(line, price)


def _periods_of(moments: list[dt.datetime], start: dt.datetime) -> list[tuple[Period, PlanPrice]]:
    """Return the closed periods in which moments lie, oldest first, each with the price that rates it."""
    if not moments:
        return []
    invoices = Invoice.objects.filter(period_end__gt=moments[0], period_end__lte=start)
    closed = {
        invoice.period_start: (Period(invoice.period_start, invoice.period_end), invoice.price)
        for invoice in invoices.select_related("price__plan").prefetch_related("price__tiers")
        if invoice.price is not None
    }
    found = {}
    for moment in moments:
        inside = (place for place in closed.values() if place[0].start <= moment < place[0].end)
        place = next(inside, None) or _before(moment)
        found[place[0].start] = place
    return [found[key] for key in sorted(found)]


def _before(moment: dt.datetime) -> tuple[Period, PlanPrice]:
    """Return the period of usage from before the first invoice: a month of the anchor until that."""
    first = Subscription.objects.select_related("plan", "price__plan").earliest("created_at")
    period = period_at(first.anchor, moment, first.time_zone)
    opened = Invoice.objects.order_by("period_start").values_list("period_start", flat=True).first()
    if opened and period.start < opened < period.end:
        period = Period(period.start, opened)
    return period, first.price or price_of(first.plan, period.start)


def _billed(starts: Iterable[dt.datetime], before: int | None) -> dict[tuple[dt.datetime, str], Billed]:
    lines = InvoiceLine.objects.filter(period_start__in=list(starts)).exclude(type=LineType.BASE_FEE)
    if before is not None:
        lines = lines.filter(invoice__number__lt=before)
    rows = lines.order_by().values("period_start", "kind").annotate(q=Sum("quantity"), c=Sum("amount_cents"))
    return {(row["period_start"], row["kind"]): Billed(int(row["q"]), int(row["c"])) for row in rows}


def _place(kind: str) -> tuple[int, str]:
    return ORDER.get(kind, len(ORDER)), kind
