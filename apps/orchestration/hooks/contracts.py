"""Webhook endpoints and deliveries as they leave this app; no framework."""

from __future__ import annotations

import datetime as dt
import enum
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from apps.resilience.errors import DomainError
from apps.tenants.contracts import TenantRef


class DeliveryRefused(DomainError):
    """A delivery without a valid signature; it says the same whether the endpoint exists or not."""

    status = 401
    title = "Unauthorized"


class HookAction(enum.StrEnum):
    """What a delivery does: start the workflows that listen to the endpoint, or say a customer's message."""

    WORKFLOWS = "workflows"
    MESSAGE = "message"

    @property
    def usage_kind(self) -> str:
        """Name the quota that a delivery spends."""
        return "message" if self is HookAction.MESSAGE else "run"


class DeliveryStatus(enum.StrEnum):
    ACCEPTED = "accepted"
    REFUSED = "refused"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, kw_only=True)
class SignedDelivery:
    """A delivery as it came in: the three headers and the raw body."""

    webhook_id: str
    timestamp: str
    signature: str
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Sender:
    """The endpoint whose secret has signed a delivery."""

    tenant: TenantRef
    endpoint_id: UUID
    name: str
    usage_kind: str


@dataclass(frozen=True, kw_only=True)
class EndpointView:
    id: UUID
    name: str
    action: HookAction
    is_active: bool
    previous_until: dt.datetime | None
    created_at: dt.datetime


@dataclass(frozen=True, kw_only=True)
class IssuedSecret:
    """Carry a new signing secret; it is shown once and stored encrypted only."""

    endpoint: EndpointView
    secret: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class HookAnswer:
    """What a delivery has led to: `runs`, or `conversation`, `message` and `run`.

    A repeated delivery gets the same, with `is_new` False.
    """

    delivery_id: UUID
    led_to: dict[str, Any]
    is_new: bool

    def as_dict(self) -> dict[str, Any]:
        """Return the answer as the sender gets it."""
        return {"delivery": str(self.delivery_id), **self.led_to}
