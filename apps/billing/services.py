"""Record usage and decide who is on which plan."""

import datetime as dt
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.utils import timezone

from apps.billing.contracts import SubscriptionView, UsageKind
from apps.billing.events import UsageRecorded
from apps.billing.models import Plan, Subscription
from apps.billing.selectors import get_subscription
from apps.events.services import publish
from apps.resilience.errors import NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef


def record_usage(
    *,
    tenant: TenantRef,
    kind: str,
    quantity: int,
    source_id: str | UUID,
    run_id: UUID | None = None,
    conversation_id: UUID | None = None,
    data: dict[str, Any] | None = None,
) -> None:
    """Tell that a tenant used something, in the caller's transaction.

    (kind, source_id) name the fact: told again, it counts once. Nothing is told for a quantity of 0.
    Raises ValueError for an unknown kind or a negative quantity.
    """
    record_usages(
        tenant=tenant,
        quantities={kind: quantity},
        source_id=source_id,
        run_id=run_id,
        conversation_id=conversation_id,
        data=data,
    )


def record_usages(
    *,
    tenant: TenantRef,
    quantities: Mapping[str, int],
    source_id: str | UUID,
    run_id: UUID | None = None,
    conversation_id: UUID | None = None,
    data: dict[str, Any] | None = None,
) -> None:
    """Tell several kinds of usage of one source at once, by the rules of `record_usage`."""
    events = []
    for kind, quantity in quantities.items():
        if quantity < 0:
            raise ValueError(f"usage cannot be negative: {quantity} {kind}")
        event = UsageRecorded(
            tenant_id=tenant.id,
            run_id=run_id,
            conversation_id=conversation_id,
            kind=UsageKind(kind).value,
            quantity=quantity,
            source_id=str(source_id),
            detail=data or {},
        )
        if quantity:
            events.append(event)
    with in_tenant(tenant):
        publish(*events)


def subscribe_tenant(*, tenant: TenantRef, plan_code: str, anchor: dt.date | None = None) -> SubscriptionView:
    """Put a tenant on a plan from now on; the period's anchor stays when the plan only changes.

    Raises NotFoundError for a code that is no plan. Already on it: changes nothing.
    """
    with in_tenant(tenant):
        plan = Plan.objects.filter(code=plan_code).first()
        if plan is None:
            offers = ", ".join(Plan.objects.order_by("price_cents").values_list("code", flat=True))
            raise NotFoundError(f"There is no plan {plan_code!r}; choose one of {offers}.")
        current = Subscription.objects.select_for_update().filter(ended_at__isnull=True).first()
        if current is None or current.plan_id != plan.id:
            now = timezone.now()
            if current is not None:
                current.ended_at = now
                current.save(update_fields=["ended_at"])
            kept = current.anchor if current else now.date()
            Subscription.objects.create(plan=plan, anchor=anchor or kept)
        return get_subscription(tenant=tenant)
