"""Facts about customers, orders and leads."""

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from apps.events.contracts import DomainEvent


@dataclass(frozen=True, kw_only=True)
class CustomerCreated(DomainEvent):
    type: ClassVar[str] = "agent.customer.created"
    customer_id: UUID


@dataclass(frozen=True, kw_only=True)
class CustomersImported(DomainEvent):
    type: ClassVar[str] = "agent.customers.imported"
    created: int


@dataclass(frozen=True, kw_only=True)
class LeadsImported(DomainEvent):
    type: ClassVar[str] = "agent.leads.imported"
    created: int


@dataclass(frozen=True, kw_only=True)
class OrderCreated(DomainEvent):
    type: ClassVar[str] = "agent.order.created"
    order_id: UUID
    number: str
    status: str


@dataclass(frozen=True, kw_only=True)
class OrdersImported(DomainEvent):
    type: ClassVar[str] = "agent.orders.imported"
    created: int


@dataclass(frozen=True, kw_only=True)
class StatusChange:
    """What the events of an order's life have in common."""

    order_id: UUID
    number: str
    before: str
    after: str
    effect_key: str
    actor: str


@dataclass(frozen=True, kw_only=True)
class OrderHeld(StatusChange, DomainEvent):
    type: ClassVar[str] = "agent.order.held"


@dataclass(frozen=True, kw_only=True)
class OrderReleased(StatusChange, DomainEvent):
    type: ClassVar[str] = "agent.order.released"


@dataclass(frozen=True, kw_only=True)
class OrderCancelled(StatusChange, DomainEvent):
    type: ClassVar[str] = "agent.order.cancelled"


@dataclass(frozen=True, kw_only=True)
class OrderReinstated(StatusChange, DomainEvent):
    type: ClassVar[str] = "agent.order.reinstated"


@dataclass(frozen=True, kw_only=True)
class OrderShipped(StatusChange, DomainEvent):
    type: ClassVar[str] = "agent.order.shipped"


@dataclass(frozen=True, kw_only=True)
class OrderDelivered(StatusChange, DomainEvent):
    type: ClassVar[str] = "agent.order.delivered"


@dataclass(frozen=True, kw_only=True)
class OrderRefunded(StatusChange, DomainEvent):
    """Money went back: all of it where `after` is refunded, else a part."""

    type: ClassVar[str] = "agent.order.refunded"

    amount_cents: int = 0
    refunded_cents: int = 0
    currency: str = ""


@dataclass(frozen=True, kw_only=True)
class LeadCaptured(DomainEvent):
    type: ClassVar[str] = "agent.lead.captured"
    lead_id: UUID
    source: str
    customer_id: UUID | None = None
