"""What may leave the crm app."""

import datetime as dt
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypedDict
from uuid import UUID


class OrderStatus(StrEnum):
    PLACED = "placed"
    HELD = "held"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"
    REFUNDED = "refunded"


class LeadStatus(StrEnum):
    NEW = "new"
    CONTACTED = "contacted"
    QUALIFIED = "qualified"
    WON = "won"
    LOST = "lost"


@dataclass(frozen=True, kw_only=True)
class CustomerView:
    """A customer; `email` is in lower case, `phone` is digits with an optional leading plus."""

    id: UUID
    name: str
    email: str | None
    phone: str
    external_id: str | None
    metadata: dict[str, Any]
    created_at: dt.datetime


@dataclass(frozen=True, kw_only=True)
class OrderView:
    """An order; each item is {name, quantity, unit_price_cents, sku?}, money is in cents of `currency`."""

    id: UUID
    number: str
    status: OrderStatus
    total_cents: int
    currency: str
    items: list[dict[str, Any]]
    placed_at: dt.datetime
    shipped_at: dt.datetime | None
    delivered_at: dt.datetime | None
    carrier: str
    tracking_code: str
    customer_id: UUID | None
    customer_email: str | None
    created_at: dt.datetime
    refunded_cents: int = 0


@dataclass(frozen=True, kw_only=True)
class OrderActionView:
    """One thing that was done to an order, and the statuses around it; a refund has an amount."""

    action: str
    before: OrderStatus
    after: OrderStatus
    actor: str
    created_at: dt.datetime
    amount_cents: int | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class CustomerChange:
    """What a change made of a customer: of each field that it changed, the value before and after."""

    customer: CustomerView
    before: dict[str, Any]
    after: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class LeadView:
    id: UUID
    name: str
    email: str | None
    phone: str
    message: str
    source: str
    status: LeadStatus
    customer_id: UUID | None
    created_at: dt.datetime


class CustomerFields(TypedDict, total=False):
    name: str
    email: str | None
    phone: str
    external_id: str | None
    metadata: dict[str, Any]


class OrderFields(TypedDict, total=False):
    """What an order may be given; without `total_cents` its items are summed up."""

    number: str
    customer_id: UUID | None
    status: str
    items: list[dict[str, Any]]
    total_cents: int
    currency: str
    placed_at: dt.datetime
    shipped_at: dt.datetime | None
    delivered_at: dt.datetime | None
    carrier: str
    tracking_code: str


class LeadFields(TypedDict, total=False):
    name: str
    email: str | None
    phone: str
    message: str
    source: str
    status: str


@dataclass(frozen=True)
class ImportReport:
    """What an import did; rows that say something else than is stored are skipped only where asked for."""

    created: int
    skipped: int = 0
    unchanged: int = 0


@dataclass(frozen=True)
class CsvRow:
    """A row of a CSV file by column, with the line where it starts (the header is line 1)."""

    line: int
    values: dict[str, str] = field(default_factory=dict)
