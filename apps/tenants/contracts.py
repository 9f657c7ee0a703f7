"""What may leave the tenants app."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

# What a doorway may declare instead of a permission of the table (apps.tenants.permissions).
OPEN = "open"  # to everybody
SIGNED_IN = "signed in"  # to whoever has shown who they are


@dataclass(frozen=True)
class TenantRef:
    """Name a tenant: enough to enter its context.

    `is_suspended` is what was known when the reference was made; `selectors.is_active` asks anew.
    """

    id: UUID
    slug: str
    schema: str
    is_suspended: bool = field(default=False, compare=False)
    is_closing: bool = field(default=False, compare=False)  # hence suspended: it is about to be deleted


class Role(StrEnum):
    OWNER = "owner"
    ADMIN = "admin"
    AGENT = "agent"
    ANALYST = "analyst"
    VIEWER = "viewer"


class PrincipalKind(StrEnum):
    USER = "user"
    API_KEY = "api_key"
    WEBHOOK = "webhook"  # the sender of a signed delivery; it may do nothing else


@dataclass(frozen=True)
class Principal:
    """Who is asking, and what they may do in one tenant."""

    kind: PrincipalKind
    id: str
    tenant: TenantRef
    name: str = ""
    roles: tuple[str, ...] = ()
    permissions: frozenset[str] = frozenset()
    rate_limits: dict[str, int] = field(default_factory=dict)
    has_shown_mfa: bool = False  # a second factor, when logging in
    expires_at: dt.datetime | None = None  # of an API key

    def may(self, permission: str) -> bool:
        return permission in self.permissions or permission in (OPEN, SIGNED_IN)


@dataclass(frozen=True)
class MembershipView:
    tenant: TenantRef
    tenant_name: str
    role: Role
    requires_mfa: bool = False  # of whoever acts in this tenant


@dataclass(frozen=True)
class Standing:
    """Where a member stands in a tenant right now; `password_stamp` changes with their password."""

    user_id: UUID
    tenant: TenantRef
    membership_id: UUID
    role: Role
    password_stamp: str


@dataclass(frozen=True)
class WidgetStanding:
    """What of an active widget key decides who may stay connected."""

    allowed_origins: tuple[str, ...]
    secret_version: int
    previous_secret_signs: bool


@dataclass(frozen=True)
class IssuedKey:
    """Carry a new API key; `token` is shown once and stored nowhere."""

    key_id: str
    token: str = field(repr=False)
    name: str
    scopes: tuple[str, ...]


@dataclass(frozen=True)
class Subject:
    """A customer who is to be forgotten, and what leads to their traces.

    `identifiers` are what they are known by elsewhere and what tells them apart: addresses, numbers, ids.
    """

    customer_id: UUID
    identifiers: tuple[str, ...] = ()
    conversation_ids: frozenset[UUID] = frozenset()
    run_ids: frozenset[UUID] = frozenset()


@dataclass(frozen=True)
class Erased:
    """What one eraser did: rows by model, and what it found that leads to more."""

    rows: Mapping[str, int] = field(default_factory=dict)
    conversation_ids: frozenset[UUID] = frozenset()
    run_ids: frozenset[UUID] = frozenset()


@dataclass(frozen=True)
class Eraser:
    """A step of forgetting a customer: a function `(tenant, subject) -> Erased`, by dotted path.

    It may run any number of times: in the transaction that notes its end, unless it asks other servers.
    """

    path: str
    in_transaction: bool = True


@dataclass(frozen=True)
class WidgetKeyView:
    tenant: TenantRef
    key: str
    allowed_origins: tuple[str, ...]
    identity_secret: str = field(repr=False)
    previous_secret: str = field(default="", repr=False)  # while it still signs
    secret_version: int = 0  # of identity_secret; the previous one's is one less
    settings: Mapping[str, Any] = field(default_factory=dict)
    version: int = 0
    time_zone: str = "UTC"  # in which the tenant's days begin
