"""Record usage."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from apps.billing.contracts import UsageKind
from apps.billing.events import UsageRecorded
from apps.billing.services.quotas import DEFERRED, is_limited, settle_quota, use_quota
from apps.events.services import publish, publish_at_the_end
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
    settles: str | UUID | None = None,
) -> None:
    """Tell that a tenant used something, in the caller's transaction.

    (kind, source_id) name the fact: told again, it counts once. Nothing is told for a quantity of 0.
    `settles` names what `hold_quota` held for it.
    Raises ValueError for an unknown kind or a negative quantity.
    """
    record_usages(
        tenant=tenant,
        quantities={kind: quantity},
        source_id=source_id,
        run_id=run_id,
        conversation_id=conversation_id,
        data=data,
        settles=settles,
    )


def record_usages(
    *,
    tenant: TenantRef,
    quantities: Mapping[str, int],
    source_id: str | UUID,
    run_id: UUID | None = None,
    conversation_id: UUID | None = None,
    data: dict[str, Any] | None = None,
    settles: str | UUID | None = None,
) -> None:
    """Tell several kinds of usage of one source at once, by the rules of `record_usage`.

    Raises QuotaSpent, which takes back the caller's transaction.
    """
    limited: list[UsageRecorded] = []
    counted: list[UsageRecorded] = []
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
            has_hold = settles is not None and kind in DEFERRED  # its plan may have become unlimited since
            (limited if has_hold or is_limited(tenant, event.kind) else counted).append(event)
    with in_tenant(tenant):
        publish_at_the_end(*counted)
        told = publish(*limited)
        for event in limited:
            is_new, kind, units = event.event_id() in told, event.kind, event.quantity
            if kind in DEFERRED:
                settle_quota(tenant=tenant, kind=kind, units=units, source_id=settles, is_new=is_new)
            elif is_new:
                use_quota(tenant=tenant, kind=kind, units=units)
