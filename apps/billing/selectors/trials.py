"""Read who is on a trial."""

import datetime as dt
from typing import Any
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from apps.billing.contracts import TRIAL
from apps.billing.models import Plan, Subscription
from apps.billing.plan_table import describe_trial
from apps.billing.selectors.usage import get_subscription
from apps.tenants.context import in_platform
from apps.tenants.contracts import TenantRef

SOON = dt.timedelta(days=3)


def choose_first_plan() -> str:
    """Return the code of the plan that a company which signs up begins with."""
    if settings.TRIAL_DAYS > 0:
        return TRIAL
    return Plan.objects.values_list("code", flat=True).get(is_default=True)


def get_trial(*, tenant: TenantRef) -> dict[str, Any] | None:
    """Return what a page says of the tenant's trial (`billing/_trial.html`); None where there is none."""
    return describe_trial(get_subscription(tenant=tenant))


def list_trials_to_follow() -> list[UUID]:
    """Return the tenants whose trial ends within three days or is over; with the platform's connection."""
    with in_platform() as alias:
        running = Subscription.objects.using(alias).filter(ended_at__isnull=True, plan__code=TRIAL)
        due = running.filter(next_plan_at__lte=timezone.now() + SOON)
        return list(due.order_by("next_plan_at").values_list("tenant_id", flat=True))
