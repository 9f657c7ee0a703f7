"""API keys: how they look, how they are checked, and a one-second memory of them.

A key carries 256 random bits, so a plain SHA-256 is enough to store; slow hashes are for passwords.
"""

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from typing import Any

from django.db import connections
from django.utils import timezone

from apps.tenants.context import APP
from apps.tenants.contracts import Principal, PrincipalKind, TenantRef
from apps.tenants.key_uses import note_use
from apps.tenants.permissions import expand_scopes

MEMORY_S = 1.0  # a revocation is honoured within this time
MEMORY_SIZE = 10_000


@dataclass(frozen=True)
class _Known:
    secret_hash: str
    principal: Principal
    read_at: float


_memory: dict[str, _Known | None] = {}


def new_key_id() -> str:
    return f"ak_{secrets.token_hex(8)}"


def new_secret() -> str:
    return secrets.token_urlsafe(32)


def hash_secret(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def authenticate(token: str) -> Principal | None:
    """Return the principal of a token `ak_….secret`, or None."""
    key_id, _, secret = token.partition(".")
    if not key_id.startswith("ak_") or len(key_id) > 32 or not secret or "\x00" in token:
        return None
    known = _recall(key_id)
    if known is None or not hmac.compare_digest(known.secret_hash, hash_secret(secret)):
        return None
    ends_at = known.principal.expires_at
    if ends_at is not None and ends_at <= timezone.now():
        return None
    note_use(key_id)
    return known.principal


def forget_all() -> None:
    """Empty the memory, for tests and after a key was changed in this process."""
    _memory.clear()


def _recall(key_id: str) -> _Known | None:
    known = _memory.get(key_id)
    if known is not None and time.monotonic() - known.read_at < MEMORY_S:
        return known
    if len(_memory) >= MEMORY_SIZE:
        _memory.clear()
    known = _memory[key_id] = _read(key_id)
    return known


def _read(key_id: str) -> _Known | None:
    asked_at = time.monotonic()
    with connections[APP].cursor() as cursor:
        cursor.execute("SELECT * FROM resolve_api_key(%s)", [key_id])
        row = cursor.fetchone()
        if row is None:
            return None
        found = dict(zip([column.name for column in cursor.description], row, strict=True))
    ends = [moment for moment in (found["expires_at"], found["revoked_at"]) if moment is not None]
    is_suspended = found["status"] != "active"
    tenant = TenantRef(found["tenant_id"], found["slug"], found["schema_name"], is_suspended)
    principal = Principal(
        kind=PrincipalKind.API_KEY,
        id=key_id,
        tenant=tenant,
        name=found["name"],
        permissions=expand_scopes(_json(found["scopes"])),
        rate_limits=_json(found["rate_limits"]),
        expires_at=min(ends, default=None),
    )
    return _Known(found["secret_hash"], principal, asked_at)


def _json(value: Any) -> Any:
    import json

    return json.loads(value) if isinstance(value, str) else value
