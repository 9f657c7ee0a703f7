"""Endpoints, deliveries and attempts as they leave this app; no framework."""

from __future__ import annotations

import datetime as dt
import enum
from dataclasses import dataclass, field
from uuid import UUID

ALL_TYPES = "*"
TEST_TYPE = "webhook.tested"


class EndpointState(enum.StrEnum):
    """Whether an endpoint is sent to; what happens meanwhile is kept, except of one that is gone."""

    ACTIVE = "active"
    PAUSED = "paused"
    FAILING = "failing"  # paused by us, after days of nothing but failures
    GONE = "gone"  # it answered 410


class DeliveryStatus(enum.StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class Outcome(enum.StrEnum):
    """How an attempt ended; one that is STARTED is under way, or died with its process."""

    STARTED = "started"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, kw_only=True)
class EndpointView:
    id: UUID
    url: str
    description: str
    event_types: tuple[str, ...]
    state: EndpointState
    secret_hint: str
    secret_created_at: dt.datetime
    previous_until: dt.datetime | None
    failing_since: dt.datetime | None
    created_at: dt.datetime


@dataclass(frozen=True, kw_only=True)
class IssuedSecret:
    """Carry a new signing secret; it is shown once and stored encrypted only."""

    endpoint: EndpointView
    secret: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The right to make one attempt, until its lease ends."""

    tenant_id: UUID
    delivery_id: UUID
    number: int
