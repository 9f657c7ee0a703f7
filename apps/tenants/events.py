"""Facts about tenants."""

from dataclasses import dataclass
from typing import ClassVar

from apps.events.contracts import DomainEvent


@dataclass(frozen=True, kw_only=True)
class TenantProvisioned(DomainEvent):
    """A tenant has its schema; handlers give it its defaults in the same transaction."""

    type: ClassVar[str] = "agent.tenant.provisioned"
    slug: str
    plan: str = "starter"
