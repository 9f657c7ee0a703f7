"""Facts that billing tells."""

import datetime as dt
from dataclasses import dataclass, field
from typing import Any, ClassVar
from uuid import NAMESPACE_OID, UUID, uuid5

from apps.events.contracts import DomainEvent

USAGE_NAMESPACE = uuid5(NAMESPACE_OID, "billing.usage.recorded")
INVOICE_NAMESPACE = uuid5(NAMESPACE_OID, "billing.invoice.finalised")
QUOTA_NAMESPACE = uuid5(NAMESPACE_OID, "billing.quota.threshold_reached")


@dataclass(frozen=True, kw_only=True)
class UsageRecorded(DomainEvent):
    """A tenant used something; the same source tells it under the same id, however often."""

    type: ClassVar[str] = "billing.usage.recorded"

    kind: str
    quantity: int
    source_id: str
    detail: dict[str, Any] = field(default_factory=dict)

    def event_id(self) -> UUID:
        return uuid5(USAGE_NAMESPACE, f"{self.tenant_id}/{self.kind}/{self.source_id}")


@dataclass(frozen=True, kw_only=True)
class PlanChanged(DomainEvent):
    """A tenant is on another plan from `effective_at` on."""

    type: ClassVar[str] = "billing.plan.changed"

    was: str
    plan: str
    effective_at: dt.datetime


@dataclass(frozen=True, kw_only=True)
class InvoiceFinalised(DomainEvent):
    """A period was invoiced; nothing about the invoice changes any more."""

    type: ClassVar[str] = "billing.invoice.finalised"

    invoice_id: UUID
    number: str
    total_cents: int
    currency: str
    period_start: dt.datetime
    period_end: dt.datetime

    def event_id(self) -> UUID:
        return uuid5(INVOICE_NAMESPACE, str(self.invoice_id))


@dataclass(frozen=True, kw_only=True)
class QuotaThresholdReached(DomainEvent):
    """A quota passed a share of its limit; told once for each quota and period."""

    type: ClassVar[str] = "billing.quota.threshold_reached"

    kind: str
    threshold_percent: int
    used: int
    limit: int
    period_start: dt.datetime

    def event_id(self) -> UUID:
        period = self.period_start.isoformat()
        return uuid5(QUOTA_NAMESPACE, f"{self.tenant_id}/{self.kind}/{period}/{self.threshold_percent}")
