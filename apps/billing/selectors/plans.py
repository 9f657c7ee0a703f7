"""Read what plans would cost a company, and what changing to one would do."""

import datetime as dt
from zoneinfo import ZoneInfo

from django.db.models import Q
from django.utils import timezone

from apps.billing.contracts import Period, PlanChange, PlanOffer, SubscriptionView
from apps.billing.drafting import Pricing, compose_lines, late_sums_from_buckets
from apps.billing.models import BillingAccount, Plan, Subscription
from apps.billing.periods import bucket_start, period_after
from apps.billing.pricing import Part, price_of, subscriptions_in, tiers_of
from apps.billing.selectors.usage import get_subscription
from apps.billing.sums import UsageSums, sum_buckets
from apps.resilience.errors import ConflictError, NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef


def list_offers(*, tenant: TenantRef) -> list[PlanOffer]:
    """Return the plans on sale and the tenant's own, cheapest first."""
    with in_tenant(tenant):
        subscription = get_subscription(tenant=tenant)
        period = subscription.period
        used = sum_buckets(start=period.start, end=period.end)
        plans = Plan.objects.filter(Q(is_public=True) | Q(code=subscription.plan.code))
        return [
            _offer(plan, period, used, is_current=plan.code == subscription.plan.code)
            for plan in plans.prefetch_related("prices__tiers").order_by("price_cents", "code")
        ]


def preview_plan_change(*, tenant: TenantRef, plan_code: str) -> PlanChange:
    """Return what changing to a plan would do; raises NotFoundError, ConflictError for the present plan."""
    with in_tenant(tenant):
        subscription = get_subscription(tenant=tenant)
        plans = Plan.objects.prefetch_related("prices__tiers")
        plan = plans.filter(code=plan_code, is_public=True).first()
        if plan is None:
            raise NotFoundError(f"There is no plan {plan_code!r} on sale.")
        if plan.code == subscription.plan.code:
            raise ConflictError(f"This company is on {plan.name} already.")
        period, now = subscription.period, timezone.now()
        used = sum_buckets(start=period.start, end=period.end)
        is_immediate = plan.price_cents > subscription.plan.price_cents
        if is_immediate and subscription.trial_ends_at:
            return _preview_end_of_trial(plan, subscription, used)
        account = BillingAccount.objects.get()
        sums = UsageSums(own=used, late=late_sums_from_buckets(period.start, account.stored_until))
        parts = subscriptions_in(period)
        then = _with(plan, parts, period, now) if is_immediate else parts
        return PlanChange(
            offer=_offer(plan, period, used, is_current=False),
            is_immediate=is_immediate,
            effective_at=now if is_immediate else period.end,
            period=period,
            draft_cents=_total(period, sums, parts),
            draft_then_cents=_total(period, sums, then),
        )


def _preview_end_of_trial(plan: Plan, subscription: SubscriptionView, used: dict[str, int]) -> PlanChange:
    """Return what choosing a plan during a trial does: nothing is owed for that, a period begins today."""
    since, zone = max(bucket_start(timezone.now()), subscription.period.start), subscription.time_zone
    period = period_after(since, since.astimezone(ZoneInfo(zone)).date(), zone)
    whole = [(Subscription(plan=plan), price_of(plan, since), period)]
    return PlanChange(
        offer=_offer(plan, subscription.period, used, is_current=False),
        is_immediate=True,
        effective_at=since,
        period=period,
        draft_cents=0,
        draft_then_cents=_total(period, UsageSums(own={}), whole),
        ends_trial=True,
    )


def _offer(plan: Plan, period: Period, used: dict[str, int], *, is_current: bool) -> PlanOffer:
    price = price_of(plan, period.start)
    part = (Subscription(plan=plan), price, period)
    return PlanOffer(
        plan=plan.view(),
        tiers=tiers_of(price),
        is_current=is_current,
        usage_cents=_total(period, UsageSums(own=used), [part]),
        beyond=tuple(kind for kind, limit in plan.included.items() if used.get(kind, 0) > limit),
    )


def _with(plan: Plan, parts: list[Part], period: Period, now: dt.datetime) -> list[Part]:
    """Return who is on what when a plan begins now."""
    kept = [(row, price, Period(part.start, min(part.end, now))) for row, price, part in parts]
    return [*kept, (Subscription(plan=plan), price_of(plan, period.start), Period(now, period.end))]


def _total(period: Period, sums: UsageSums, parts: list[Part]) -> int:
    return sum(priced.line.amount_cents for priced in compose_lines(period, sums, pricing=Pricing(parts)))
