"""Read plans, usage and what is left of it."""

import datetime as dt
from collections.abc import Iterable
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Subquery, Sum
from django.db.models.functions import TruncDate
from django.utils import timezone

from apps.billing.contracts import (
    DailyUsage,
    Period,
    PlanView,
    QuotaAlertView,
    QuotaState,
    SubscriptionView,
    UsageKind,
)
from apps.billing.models import BillingAccount, Invoice, Plan, QuotaAlert, Subscription, UsageBucket
from apps.billing.periods import period_after, period_at
from apps.billing.sums import sum_buckets
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef

NO_ANCHOR = dt.date(2000, 1, 1)  # without a subscription a period is a calendar month


PERIODS_SHOWN = 24


def list_plans() -> list[PlanView]:
    """Return the plans on sale, cheapest first."""
    return [plan.view() for plan in Plan.objects.filter(is_public=True).order_by("price_cents", "code")]


def get_subscription(*, tenant: TenantRef) -> SubscriptionView:
    """Return the tenant's plan and current period; without a subscription the default plan."""
    with in_tenant(tenant):
        open_until = BillingAccount.objects.values("closes_at")[:1]
        subscriptions = Subscription.objects.annotate(closes_at=Subquery(open_until)).annotate(
            open_from=Subquery(BillingAccount.objects.values("open_from")[:1])
        )
        current = subscriptions.select_related("plan", "next_plan").filter(ended_at__isnull=True).first()
        default = None if current else Plan.objects.get(is_default=True)
    now = timezone.now()
    if current is None:
        assert default is not None
        return SubscriptionView(default.view(), NO_ANCHOR, period_at(NO_ANCHOR, now))
    plan, following = current.plan_at(now), current.next_plan
    is_planned = following is not None and plan != following
    return SubscriptionView(
        plan=plan.view(),
        started_on=current.created_at.date(),
        period=_current_period(current, now),
        time_zone=current.time_zone,
        next_plan=following.view() if following is not None and is_planned else None,
        next_plan_at=current.next_plan_at if is_planned else None,
    )


def list_periods(*, tenant: TenantRef) -> list[Period]:
    """Return the current period and those that were closed before it, newest first, at most 24."""
    with in_tenant(tenant):
        current = get_subscription(tenant=tenant).period
        rows = Invoice.objects.filter(period_end__lte=current.start).order_by("-period_end")
        past = rows.values_list("period_start", "period_end")[: PERIODS_SHOWN - 1]
        return [current, *(Period(start, end) for start, end in past)]


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
        used = sum_buckets(start=subscription.period.start, end=subscription.period.end)
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


def get_usage(
    *, tenant: TenantRef, start: dt.datetime, end: dt.datetime, time_zone: str = "UTC"
) -> list[DailyUsage]:
    """Return usage by day there and kind in the half-open span, oldest first, without empty days."""
    with in_tenant(tenant):
        rows = (
            UsageBucket.objects.filter(starts_at__gte=start, starts_at__lt=end)
            .annotate(date=TruncDate("starts_at", tzinfo=ZoneInfo(time_zone)))
            .values("date", "kind")
            .annotate(total=Sum("quantity"))
            .order_by("date", "kind")
        )
        return [DailyUsage(row["date"], row["kind"], int(row["total"])) for row in rows]


def list_quota_alerts(*, tenant: TenantRef) -> list[QuotaAlertView]:
    """Return the highest alert of each quota in the current period that still holds, worst first."""
    with in_tenant(tenant):
        period = get_subscription(tenant=tenant).period
        raised = list(QuotaAlert.objects.filter(period_start=period.start).order_by("threshold_percent"))
        if not raised:
            return []
        quotas = list_quotas(tenant=tenant, kinds=sorted({alert.kind for alert in raised}))
    highest = {alert.kind: alert for alert in raised}
    alerts = [
        QuotaAlertView(
            kind=quota.kind,
            threshold_percent=highest[quota.kind].threshold_percent,
            used=quota.used,
            limit=quota.limit,
            reached_at=highest[quota.kind].created_at,
            resets_at=quota.resets_at,
            is_hard=quota.is_hard,
        )
        for quota in quotas
        if quota.limit is not None and quota.used_percent >= highest[quota.kind].threshold_percent
    ]
    return sorted(alerts, key=lambda alert: (-alert.threshold_percent, alert.kind))


def _current_period(row: Any, now: dt.datetime) -> Period:
    """Return the account's open period, or the one after it while its invoice waits for late events."""
    if row.open_from is None or now < row.open_from:
        return period_at(row.anchor, now, row.time_zone)
    period = Period(row.open_from, row.closes_at)
    while period.end <= now:
        period = period_after(period.end, row.anchor, row.time_zone)
    return period
