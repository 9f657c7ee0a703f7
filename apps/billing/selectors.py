"""Read plans, usage and what is left of it."""

import datetime as dt
from collections.abc import Iterable

from django.db.models import Sum
from django.db.models.functions import TruncDate
from django.utils import timezone

from apps.billing.contracts import DailyUsage, Period, PlanView, QuotaState, SubscriptionView, UsageKind
from apps.billing.models import Plan, Subscription, UsageBucket
from apps.billing.periods import period_at
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef

NO_ANCHOR = dt.date(2000, 1, 1)  # without a subscription a period is a calendar month


def list_plans() -> list[PlanView]:
    """Return the plans on sale, cheapest first."""
    return [plan.view() for plan in Plan.objects.filter(is_public=True).order_by("price_cents", "code")]


def get_subscription(*, tenant: TenantRef) -> SubscriptionView:
    """Return the tenant's plan and current period; without a subscription the default plan."""
    with in_tenant(tenant):
        current = Subscription.objects.select_related("plan").filter(ended_at__isnull=True).first()
        plan = current.plan if current else Plan.objects.get(is_default=True)
    anchor = current.anchor if current else NO_ANCHOR
    started_on = current.created_at.date() if current else anchor
    return SubscriptionView(plan.view(), started_on, period_at(anchor, timezone.now()))


def get_plan(*, tenant: TenantRef) -> PlanView:
    """Return the plan that the tenant is on."""
    return get_subscription(tenant=tenant).plan


def get_quota(*, tenant: TenantRef, kind: str) -> QuotaState:
    """Return how much of one kind is spent in the current period."""
    return list_quotas(tenant=tenant, kinds=[kind])[0]


def list_quotas(*, tenant: TenantRef, kinds: Iterable[str] = tuple(UsageKind)) -> list[QuotaState]:
    """Return the state of each kind in the current period, in the order asked."""
    with in_tenant(tenant):
        subscription = get_subscription(tenant=tenant)
        used = _sum_by_kind(subscription.period)
    plan, period = subscription.plan, subscription.period
    return [
        QuotaState(
            kind=str(kind),
            used=used.get(str(kind), 0),
            limit=plan.included.get(str(kind)),
            resets_at=period.end,
            is_hard=plan.has_hard_limits,
        )
        for kind in kinds
    ]


def get_usage(*, tenant: TenantRef, start: dt.datetime, end: dt.datetime) -> list[DailyUsage]:
    """Return usage by UTC day and kind in the half-open span, oldest first; days without usage are absent."""
    with in_tenant(tenant):
        rows = (
            UsageBucket.objects.filter(starts_at__gte=start, starts_at__lt=end)
            .annotate(date=TruncDate("starts_at", tzinfo=dt.UTC))
            .values("date", "kind")
            .annotate(total=Sum("quantity"))
            .order_by("date", "kind")
        )
        return [DailyUsage(row["date"], row["kind"], int(row["total"])) for row in rows]


def _sum_by_kind(period: Period) -> dict[str, int]:
    buckets = UsageBucket.objects.filter(starts_at__gte=period.start, starts_at__lt=period.end)
    return {row["kind"]: int(row["total"]) for row in buckets.values("kind").annotate(total=Sum("quantity"))}
