"""Facts that billing tells."""

from dataclasses import dataclass, field
from typing import Any, ClassVar
from uuid import NAMESPACE_OID, UUID, uuid5

from apps.events.contracts import DomainEvent

USAGE_NAMESPACE = uuid5(NAMESPACE_OID, "billing.usage.recorded")


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
