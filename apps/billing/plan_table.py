"""Plans in words: what is included, what more costs, and what a change does."""

import datetime as dt
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.utils import timezone

from apps.billing.contracts import PlanChange, PlanOffer, SubscriptionView, Tier, UsageKind, label_of
from apps.billing.money import write_cents, write_period, write_unit_price

TINY, MILLION = Decimal("0.0001"), 1_000_000  # dearer ones are told apiece


def describe_offer(offer: PlanOffer, subscription: SubscriptionView) -> dict[str, Any]:
    """Return a plan as its card shows it."""
    plan, following = offer.plan, subscription.next_plan
    return {
        "plan": plan,
        "is_current": offer.is_current,
        "is_next": following is not None and following.code == plan.code,
        "fee": write_cents(plan.price_cents, plan.currency),
        "usage": write_cents(offer.usage_cents, plan.currency),
        "beyond": [label_of(kind) for kind in offer.beyond],
        "lines": [
            *(_line(offer, kind.value) for kind in UsageKind),
            ("Workflow runs at a time", f"{plan.max_concurrent_runs:,}", "more wait for their turn"),
        ],
    }


def describe_preview(change: PlanChange, subscription: SubscriptionView) -> dict[str, Any]:
    """Return a change as the page that asks for it shows it."""
    plan, zone = change.offer.plan, subscription.time_zone
    return {
        "change": change,
        "offer": describe_offer(change.offer, subscription),
        "now": subscription.plan,
        "period": write_period(change.period, zone),
        "day": _day(change.effective_at, zone),
        "fee_now": write_cents(subscription.plan.price_cents, subscription.plan.currency),
        "draft": write_cents(change.draft_cents, plan.currency),
        "draft_then": write_cents(change.draft_then_cents, plan.currency),
    }


def describe_trial(subscription: SubscriptionView) -> dict[str, Any] | None:
    """Return what a banner says of the trial that a company is on; None where there is none."""
    ends_at, following = subscription.trial_ends_at, subscription.next_plan
    if ends_at is None or following is None:
        return None
    whole_days = max(0, (ends_at - timezone.now()).days)  # none: it ends with this day
    day = _day(ends_at, subscription.time_zone)
    return {"days_left": whole_days, "ends_at": ends_at, "day": day, "next": following}


def describe_change(subscription: SubscriptionView) -> str:
    """Return what was done, in a sentence."""
    if subscription.next_plan is None or subscription.next_plan_at is None:
        return f"You are on {subscription.plan.name}."
    day = _day(subscription.next_plan_at, subscription.time_zone)
    return f"From {day} on you are on {subscription.next_plan.name}; until then nothing changes."


def _line(offer: PlanOffer, kind: str) -> tuple[str, str, str]:
    """Return a kind, what of it is included, and what more costs."""
    included, tiers = offer.plan.included.get(kind), offer.tiers.get(kind, [])
    if included is not None and offer.plan.has_hard_limits:
        return label_of(kind), f"{included:,}", "more is refused"
    if not tiers:
        free = (f"{included:,}", "more is free") if included is not None else ("no limit", "")
        return label_of(kind), *free
    prices = [_price(tier, offer.plan.currency, is_first=tier is tiers[0]) for tier in tiers]
    return label_of(kind), f"{tiers[0].starts_after:,}", "; ".join(prices)


def _price(tier: Tier, currency: str, *, is_first: bool) -> str:
    is_tiny = tier.unit_price < TINY
    price = write_unit_price(tier.unit_price * MILLION if is_tiny else tier.unit_price)
    each = "a million" if is_tiny else "each"
    return f"then {price} {currency} {each}" if is_first else f"{price} {each} above {tier.starts_after:,}"


def _day(moment: dt.datetime, zone: str) -> str:
    there = moment.astimezone(ZoneInfo(zone))
    return f"{there.day} {there:%B %Y}"
