"""Generated usage, delivered as the consumer does: doubled, out of order, late."""

import datetime as dt
import uuid

from apps.billing.handlers import on_usage_recorded
from apps.events.contracts import Envelope
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef


def usage(tenant: TenantRef, at: dt.datetime, kind: str = "message", quantity: int = 1) -> Envelope:
    return Envelope(
        id=uuid.uuid4(),
        type="billing.usage.recorded",
        version=1,
        tenant_id=tenant.id,
        occurred_at=at,
        data={"kind": kind, "quantity": quantity, "source_id": "s", "detail": {}},
    )


def deliver(tenant: TenantRef, *envelopes: Envelope) -> None:
    with in_tenant(tenant):
        for envelope in envelopes:
            on_usage_recorded(envelope)
