"""Who acts in a conversation over HTTP, and under which key."""

import hashlib
from uuid import uuid4

from rest_framework.request import Request

from apps.tenants.contracts import Principal, TenantRef


class TenantRequest(Request):
    """A request that the gateway let pass."""

    tenant: TenantRef
    auth: Principal


def agent_of(request: TenantRequest) -> str:
    """Name the caller, like `user:…` or `api_key:ak_…`."""
    principal = request.auth
    return f"{principal.kind.value}:{principal.id}"


def key_of(request: TenantRequest, effect: str) -> str:
    """Return the same key for the same effect, caller and `Idempotency-Key`, else one of its own."""
    given = request.headers.get("Idempotency-Key") or str(uuid4())
    digest = hashlib.sha256(f"{agent_of(request)}\n{given}".encode()).hexdigest()
    return f"api:{effect}:{digest[:32]}"
