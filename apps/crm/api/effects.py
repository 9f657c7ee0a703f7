"""Who does something over HTTP, and the key under which it is done once."""

import hashlib
from uuid import uuid4

from rest_framework.request import Request

from apps.tenants.contracts import Principal, TenantRef


class TenantRequest(Request):
    """A request that the gateway let pass."""

    tenant: TenantRef
    auth: Principal


def actor_of(request: TenantRequest) -> str:
    """Name the caller in the records, like `user:…` or `api_key:ak_…`."""
    return f"{request.auth.kind.value}:{request.auth.id}"


def effect_key_of(request: TenantRequest, effect: str) -> str:
    """Return the same key for the same effect, caller and `Idempotency-Key`, else one of its own.

    It outlives the remembered answer of the header, and one header used for two effects stays two.
    """
    given = request.headers.get("Idempotency-Key") or str(uuid4())
    digest = hashlib.sha256(f"{actor_of(request)}\n{given}".encode()).hexdigest()
    return f"api:{effect}:{digest[:32]}"
