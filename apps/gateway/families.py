"""Who is still logged in: the families of tokens, each begun by one password, and what ends them.

A refresh token carries the generation of its family. The current one is exchanged for the next; an older one
has been used before, by its owner or by a thief, so the family ends for both.
"""

import datetime as dt
import time
from dataclasses import dataclass, replace
from uuid import UUID

from django.db import connection
from django.utils import timezone

from apps.gateway.models import TokenFamily
from apps.resilience.errors import NotAllowed
from apps.tenants.context import in_platform, in_tenant
from apps.tenants.contracts import Principal, Role, TenantRef
from apps.tenants.selectors import find_standing
from apps.tenants.services import principal_of, record_audit

REFRESH_LIFETIME = dt.timedelta(days=7)  # without a refresh
FAMILY_LIFETIME = dt.timedelta(days=90)  # whatever is refreshed
GRACE = dt.timedelta(seconds=10)  # for an answer that was lost, and for a double click
KEPT = dt.timedelta(days=1)  # after the end
MEMORY_S = 1.0  # a revocation is honoured within this time
MEMORY_SIZE = 10_000


@dataclass(frozen=True)
class Member:
    """Whom a family belongs to; `lacks_mfa` where their tenant requires more than was shown."""

    principal: Principal
    lacks_mfa: bool


@dataclass(frozen=True)
class Turn:
    """Where a family stands: its refresh token carries this generation, until `expires_at`."""

    family_id: UUID
    generation: int
    expires_at: dt.datetime


LACKS_MFA = (
    "This company requires a second factor: set one up in the dashboard under Profile, then get a new token "
    "from auth/token with its code as `otp`."
)
_memory: dict[UUID, tuple[float, "Member | None"]] = {}


def begin_family(principal: Principal) -> Turn | None:
    """Begin the family of a member who has just shown their password; None for one who is no member now."""
    standing = find_standing(user_id=UUID(principal.id), tenant_id=principal.tenant.id)
    if standing is None:
        return None
    now = timezone.now()
    with in_tenant(principal.tenant):
        family = TokenFamily.objects.create(
            user_id=standing.user_id,
            membership_id=standing.membership_id,
            password_stamp=standing.password_stamp,
            has_shown_mfa=principal.has_shown_mfa,
            renewed_at=now,
            expires_at=now + REFRESH_LIFETIME,
        )
    return Turn(family.id, family.generation, family.expires_at)


def find_member(family_id: UUID) -> Principal | None:
    """Return whom a family belongs to, with the rights of a second ago at most; None once it has ended.

    Raises NotAllowed where their tenant requires a second factor that was not shown, or is gone.
    """
    known = _memory.get(family_id)
    if known is not None and time.monotonic() - known[0] < MEMORY_S:
        return _admit(known[1])
    return read_member(family_id)


def read_member(family_id: UUID) -> Principal | None:
    """Return the same as of this moment."""
    asked_at = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM resolve_token_family(%s)", [family_id])
        row = cursor.fetchone()
    member = _member(*row) if row is not None else None
    if len(_memory) >= MEMORY_SIZE:
        _memory.clear()
    _memory[family_id] = (asked_at, member)
    return _admit(member)


def take_turn(*, tenant: TenantRef, family_id: UUID, generation: int) -> Turn | None:
    """Spend a generation and return the next; None, and the family ends, for one that was spent before.

    Within GRACE the generation before the current one is answered as it was the first time.
    """
    with in_tenant(tenant):
        family = TokenFamily.objects.select_for_update().filter(id=family_id, revoked_at=None).first()
        if family is None:
            return None
        now = timezone.now()
        if generation == family.generation:
            family.generation, family.renewed_at = generation + 1, now
            family.expires_at = min(now + REFRESH_LIFETIME, family.created_at + FAMILY_LIFETIME)
            family.save(update_fields=["generation", "renewed_at", "expires_at"])
        elif generation != family.generation - 1 or now - family.renewed_at > GRACE:
            _end(tenant, family, "token.reused", {"generation": generation, "current": family.generation})
            return None
        return Turn(family.id, family.generation, family.expires_at)


def end_family(*, tenant: TenantRef, family_id: UUID) -> None:
    """Log out: every process refuses the family's tokens within a second; again changes nothing."""
    with in_tenant(tenant):
        family = TokenFamily.objects.select_for_update().filter(id=family_id, revoked_at=None).first()
        if family is not None:
            _end(tenant, family, "token.revoked", {})


def purge_families() -> int:
    """Forget families that have ended, of every tenant; return how many."""
    before = timezone.now() - KEPT
    with in_platform() as alias:
        ended = TokenFamily.objects.using(alias)
        return (ended.filter(expires_at__lt=before) | ended.filter(revoked_at__lt=before))._raw_delete(alias)


def forget_all() -> None:
    """Empty the memory of families, for tests."""
    _memory.clear()


def _end(tenant: TenantRef, family: TokenFamily, action: str, data: dict[str, int]) -> None:
    family.revoked_at = timezone.now()
    family.save(update_fields=["revoked_at"])
    record_audit(tenant=tenant, actor=str(family.user_id), action=action, target=str(family.id), data=data)
    _memory[family.id] = (time.monotonic(), None)


def _member(
    user_id: UUID, tenant_id: UUID, slug: str, schema: str, status: str, role: str, *mfa: bool
) -> Member:
    has_shown_mfa, lacks_mfa = mfa
    tenant = TenantRef(tenant_id, slug, schema, status == "suspended")
    principal = principal_of(user_id=user_id, name="", tenant=tenant, role=Role(role))
    return Member(replace(principal, has_shown_mfa=has_shown_mfa), lacks_mfa)


def _admit(member: Member | None) -> Principal | None:
    if member is not None and member.lacks_mfa:
        raise NotAllowed(LACKS_MFA)
    return member.principal if member is not None else None
