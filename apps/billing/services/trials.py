"""Let a new company try a paid plan's limits for some days.

A trial is a plan of its own with a plan that follows, and one period of its own: whatever is used in it is
never charged.
"""

import datetime as dt
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils import timezone

from apps.billing.contracts import MAX_EXTENSION_DAYS, TRIAL, SubscriptionView
from apps.billing.models import BillingAccount, Plan, Subscription
from apps.billing.selectors.trials import SOON
from apps.billing.selectors.usage import get_subscription
from apps.billing.services.quotas import forget_quotas
from apps.billing.services.subscriptions import find_plan, lock_subscription
from apps.billing.services.trial_notices import remind_of_trial
from apps.resilience.errors import ConflictError, InvalidInput
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.selectors import get_time_zone
from apps.tenants.services import record_audit

ONE_DAY = dt.timedelta(days=1)


def start_trial(*, tenant: TenantRef) -> SubscriptionView:
    """Put a company that was never on a plan on a trial: until midnight there after `TRIAL_DAYS` whole days.

    Raises ConflictError for every other company: there is no second trial.
    """
    with in_tenant(tenant):
        if lock_subscription(tenant) is not None or Subscription.objects.exists():
            raise ConflictError("A trial is what a company begins with; this one is or was on a plan.")
        zone, now = get_time_zone(tenant=tenant), timezone.now()
        today = now.astimezone(ZoneInfo(zone)).date()
        last = today + settings.TRIAL_DAYS * ONE_DAY
        begins_at, ends_at = _midnight(today, zone), _midnight(last + ONE_DAY, zone)
        row = Subscription.objects.create(
            plan=find_plan(TRIAL),
            anchor=last + ONE_DAY,
            time_zone=zone,
            next_plan=Plan.objects.get(is_default=True),
            next_plan_at=ends_at,
        )
        row.created_at = begins_at
        row.save(update_fields=["created_at"])
        BillingAccount.objects.create(open_from=begins_at, closes_at=ends_at)
        record_audit(tenant=tenant, action="plan.trial_began", data={"ends_at": ends_at.isoformat()})
        return get_subscription(tenant=tenant)


def extend_trial(*, tenant: TenantRef, days: int, reason: str, actor: str) -> SubscriptionView:
    """Let a trial that runs end some days later; audited. Raises InvalidInput, ConflictError."""
    if not 1 <= days <= MAX_EXTENSION_DAYS:
        raise InvalidInput({"days": [f"Give 1 to {MAX_EXTENSION_DAYS} days."]})
    with in_tenant(tenant):
        trial = lock_subscription(tenant)
        if trial is None or trial.plan.code != TRIAL or trial.next_plan_at is None:
            raise ConflictError("This company is on no trial, so there is nothing to extend.")
        before = trial.next_plan_at
        trial.anchor += days * ONE_DAY
        trial.next_plan_at = _midnight(trial.anchor, trial.time_zone)
        trial.save(update_fields=["anchor", "next_plan_at"])
        BillingAccount.objects.update(closes_at=trial.next_plan_at)
        data = {"before": before.isoformat(), "after": trial.next_plan_at.isoformat(), "reason": reason}
        record_audit(tenant=tenant, actor=actor, action="plan.trial_extended", data=data)
        forget_quotas()
        return get_subscription(tenant=tenant)


def follow_trial(*, tenant: TenantRef) -> None:
    """Remind the owners of a trial that ends soon, and end one that is over; again it changes nothing."""
    with in_tenant(tenant):
        row = lock_subscription(tenant)  # what was to follow has followed, and was told
        if row is None or row.plan.code != TRIAL or row.next_plan is None or row.next_plan_at is None:
            return
        if row.next_plan_at - timezone.now() <= SOON:
            remind_of_trial(
                tenant=tenant, ends_at=row.next_plan_at, zone=row.time_zone, plan=row.next_plan.name
            )


def _midnight(day: dt.date, zone: str) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), ZoneInfo(zone)).astimezone(dt.UTC)
