"""Write webhook endpoints: make, rotate, pause, delete."""

from __future__ import annotations

import datetime as dt
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.orchestration.definitions.contracts import HOOK_NAME
from apps.orchestration.hooks import signing
from apps.orchestration.hooks.contracts import EndpointView, HookAction, IssuedSecret
from apps.orchestration.hooks.doorway import receive_delivery, send_test_delivery, verify_delivery
from apps.orchestration.hooks.models import Delivery, Endpoint
from apps.resilience.errors import InvalidInput, NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.secrets import seal
from apps.tenants.services import record_audit

__all__ = [
    "create_endpoint",
    "delete_endpoint",
    "purge_deliveries",
    "receive_delivery",
    "rotate_secret",
    "send_test_delivery",
    "switch_endpoint",
    "verify_delivery",
]
MAX_OVERLAP_S = 30 * 86_400
KEPT = dt.timedelta(days=30)


def create_endpoint(*, tenant: TenantRef, name: str, action: str, actor: str) -> IssuedSecret:
    """Open an address for signed deliveries; its secret can be read from the answer and never again.

    Raises InvalidInput.
    """
    if not HOOK_NAME.fullmatch(name):
        raise InvalidInput(
            {"name": ["Use 1 to 63 of a-z, 0-9, - and _, beginning with a letter or a digit."]}
        )
    if action not in list(HookAction):
        raise InvalidInput({"action": [f"Give one of {', '.join(HookAction)}."]})
    secret = signing.new_secret()
    with in_tenant(tenant):
        endpoint = Endpoint(name=name, action=action, secret=seal(secret, tenant.id))
        try:
            with transaction.atomic():
                endpoint.save(force_insert=True)
        except IntegrityError:
            raise InvalidInput({"name": [f"There is an endpoint {name!r} already."]}) from None
        _audit(tenant, actor, "created", endpoint)
        return IssuedSecret(endpoint=endpoint.view(), secret=secret)


def rotate_secret(*, tenant: TenantRef, endpoint_id: UUID, overlap_s: int, actor: str) -> IssuedSecret:
    """Replace an endpoint's secret; the present one is accepted for `overlap_s` more seconds.

    Raises NotFoundError, InvalidInput.
    """
    if not 0 <= overlap_s <= MAX_OVERLAP_S:
        raise InvalidInput({"overlap_s": [f"Give 0 to {MAX_OVERLAP_S} seconds."]})
    secret = signing.new_secret()
    with in_tenant(tenant):
        endpoint = _locked(endpoint_id)
        endpoint.previous_secret = endpoint.secret if overlap_s else ""
        endpoint.previous_until = timezone.now() + dt.timedelta(seconds=overlap_s) if overlap_s else None
        endpoint.secret = seal(secret, tenant.id)
        endpoint.save(update_fields=["secret", "previous_secret", "previous_until"])
        _audit(tenant, actor, "rotated", endpoint, overlap_s=overlap_s)
        return IssuedSecret(endpoint=endpoint.view(), secret=secret)


def switch_endpoint(*, tenant: TenantRef, endpoint_id: UUID, is_active: bool, actor: str) -> EndpointView:
    """Pause or resume an endpoint; again changes nothing. Raises NotFoundError."""
    with in_tenant(tenant):
        endpoint = _locked(endpoint_id)
        if endpoint.is_active != is_active:
            endpoint.is_active = is_active
            endpoint.save(update_fields=["is_active"])
            _audit(tenant, actor, "resumed" if is_active else "paused", endpoint)
        return endpoint.view()


def delete_endpoint(*, tenant: TenantRef, endpoint_id: UUID, actor: str) -> EndpointView:
    """Close an address for good, with the log of its deliveries; raises NotFoundError."""
    with in_tenant(tenant):
        endpoint = _locked(endpoint_id)
        gone = endpoint.view()
        Delivery.objects.filter(endpoint_id=endpoint_id).delete()
        _audit(tenant, actor, "deleted", endpoint)
        endpoint.delete()
        return gone


def purge_deliveries(*, tenant: TenantRef) -> int:
    """Forget deliveries of more than 30 days ago, which no sender repeats any more; return how many."""
    with in_tenant(tenant):
        return Delivery.objects.filter(created_at__lt=timezone.now() - KEPT).delete()[0]


def _locked(endpoint_id: UUID) -> Endpoint:
    endpoint = Endpoint.objects.select_for_update().filter(id=endpoint_id).first()
    if endpoint is None:
        raise NotFoundError("There is no such webhook endpoint.")
    return endpoint


def _audit(tenant: TenantRef, actor: str, act: str, endpoint: Endpoint, **data: object) -> None:
    record_audit(tenant=tenant, actor=actor, action=f"webhook.{act}", target=endpoint.name, data=data)
