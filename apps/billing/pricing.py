"""Which version of which plan's prices holds for a period."""

import datetime as dt

from apps.billing.contracts import Period, Tier
from apps.billing.models import Plan, PlanPrice, Subscription

Part = tuple[Subscription, PlanPrice, Period]


def price_of(plan: Plan, moment: dt.datetime) -> PlanPrice:
    """Return a plan's prices for a period that begins at `moment`: the newest valid then or the first."""
    offered = sorted((p for p in plan.prices.all() if not p.is_custom), key=lambda price: price.version)
    valid = [price for price in offered if price.valid_from <= moment]
    if offered:
        return valid[-1] if valid else offered[0]
    # A plan that was made without prices costs its fee.
    fields = {"base_fee_cents": plan.price_cents, "valid_from": plan.created_at}
    return PlanPrice.objects.get_or_create(plan=plan, version=1, defaults=fields)[0]


def tiers_of(price: PlanPrice) -> dict[str, list[Tier]]:
    """Return the tiers of each kind that has a price."""
    tiers: dict[str, list[Tier]] = {}
    for tier in price.tiers.all():
        tiers.setdefault(tier.kind, []).append(tier.view())
    return tiers


def subscriptions_in(period: Period) -> list[Part]:
    """Return who was on what in which part of a period, oldest first; the very first from its start."""
    found: list[Part] = []
    rows = list(Subscription.objects.select_related("plan", "price__plan").order_by("created_at", "id"))
    for place, row in enumerate(rows):
        start = period.start if place == 0 else max(period.start, row.created_at)
        end = min(period.end, row.ended_at or period.end)
        is_last = place == len(rows) - 1
        if start < end or (is_last and not found):
            price = row.price or price_of(row.plan, period.start)
            found.append((row, price, Period(start, max(start, end))))
    return found
