"""What owners are told of their company's trial: once of its coming end, once of its end."""

import datetime as dt
from zoneinfo import ZoneInfo

from django.conf import settings

from apps.tenants.contracts import TenantRef
from apps.tenants.services import tell_owners


def remind_of_trial(*, tenant: TenantRef, ends_at: dt.datetime, zone: str, plan: str) -> None:
    """Tell the owners when their trial ends; the same end is told once."""
    there = ends_at.astimezone(ZoneInfo(zone))
    day = f"{there.day} {there:%B %Y}"
    tell_owners(
        tenant=tenant,
        key=f"trial-ends:{ends_at:%Y-%m-%dT%H:%M}",
        subject=f"Your trial ends on {day}",
        text=f"Your trial ends on {day}. Then your company is on {plan} by itself, and nothing is charged "
        f"for the trial.\n\nTo keep the limits that you have now, choose a plan:\n{_address()}",
    )


def tell_that_trial_ended(*, tenant: TenantRef, plan: str) -> None:
    """Tell the owners that the trial is over, in the transaction that ends it."""
    tell_owners(
        tenant=tenant,
        key="trial-ended",
        subject=f"Your trial has ended: you are on {plan} now",
        text=f"Your company is on {plan} now. Everything that you have made is still there, and nothing is "
        f"charged for the trial.\n\nFor larger limits choose a plan:\n{_address()}",
    )


def _address() -> str:
    return f"{settings.PUBLIC_URL.rstrip('/')}/app/plans/\n"
