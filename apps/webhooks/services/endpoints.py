"""Endpoints: make, change, pause, resume, delete, and exchange their secrets."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from uuid import UUID

from django.utils import timezone

from apps.resilience import outbound
from apps.resilience.errors import ConflictError, InvalidInput, NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.secrets import seal
from apps.tenants.services import record_audit
from apps.tenants.signing import new_secret
from apps.webhooks.catalog import BY_TYPE
from apps.webhooks.contracts import ALL_TYPES, EndpointState, EndpointView, IssuedSecret
from apps.webhooks.models import WebhookEndpoint

MAX_ENDPOINTS = 20
MAX_OVERLAP_S = 30 * 86_400


def create_endpoint(
    *, tenant: TenantRef, url: str, event_types: Sequence[str], description: str = "", actor: str
) -> IssuedSecret:
    """Tell an address of events from now on; its secret can be read from the answer and never again.

    Raises InvalidInput, ConflictError.
    """
    chosen = _clean_types(event_types)
    _check_url(url)
    secret = new_secret()
    with in_tenant(tenant):
        if WebhookEndpoint.objects.count() >= MAX_ENDPOINTS:
            raise ConflictError(f"There are {MAX_ENDPOINTS} endpoints already; delete one first.")
        endpoint = WebhookEndpoint(url=url, description=_clean(description), event_types=chosen)
        _give_secret(endpoint, secret, tenant)
        endpoint.save(force_insert=True)
        _audit(tenant, actor, "created", endpoint, url=url, event_types=chosen)
        return IssuedSecret(endpoint=endpoint.view(), secret=secret)


def update_endpoint(
    *,
    tenant: TenantRef,
    endpoint_id: UUID,
    url: str | None = None,
    event_types: Sequence[str] | None = None,
    description: str | None = None,
    actor: str,
) -> EndpointView:
    """Change what is given; what waits goes to the new address. Raises InvalidInput, NotFoundError."""
    chosen = None if event_types is None else _clean_types(event_types)
    if url is not None:
        _check_url(url)
    with in_tenant(tenant):
        endpoint = lock_endpoint(endpoint_id)
        before = {"url": endpoint.url, "event_types": endpoint.event_types}
        endpoint.url = endpoint.url if url is None else url
        endpoint.event_types = endpoint.event_types if chosen is None else chosen
        endpoint.description = endpoint.description if description is None else _clean(description)
        endpoint.save(update_fields=["url", "event_types", "description"])
        after = {"url": endpoint.url, "event_types": endpoint.event_types}
        _audit(tenant, actor, "changed", endpoint, before=before, after=after)
        return endpoint.view()


def rotate_secret(*, tenant: TenantRef, endpoint_id: UUID, overlap_s: int, actor: str) -> IssuedSecret:
    """Replace a secret; for `overlap_s` more seconds deliveries carry the present one's signature too.

    Raises NotFoundError, InvalidInput.
    """
    if not 0 <= overlap_s <= MAX_OVERLAP_S:
        raise InvalidInput({"overlap_s": [f"Give 0 to {MAX_OVERLAP_S} seconds."]})
    secret = new_secret()
    with in_tenant(tenant):
        endpoint = lock_endpoint(endpoint_id)
        endpoint.previous_secret = endpoint.secret if overlap_s else ""
        endpoint.previous_until = timezone.now() + dt.timedelta(seconds=overlap_s) if overlap_s else None
        _give_secret(endpoint, secret, tenant)
        endpoint.save()
        _audit(tenant, actor, "rotated", endpoint, overlap_s=overlap_s)
        return IssuedSecret(endpoint=endpoint.view(), secret=secret)


def pause_endpoint(*, tenant: TenantRef, endpoint_id: UUID, actor: str) -> EndpointView:
    """Send nothing until somebody resumes it; what happens meanwhile waits. Raises NotFoundError."""
    with in_tenant(tenant):
        endpoint = lock_endpoint(endpoint_id)
        if endpoint.state == EndpointState.ACTIVE:
            endpoint.state, endpoint.stopped_at = EndpointState.PAUSED.value, timezone.now()
            endpoint.save(update_fields=["state", "stopped_at"])
            _audit(tenant, actor, "paused", endpoint)
        return endpoint.view()


def resume_endpoint(*, tenant: TenantRef, endpoint_id: UUID, actor: str) -> EndpointView:
    """Send again, first what has waited; again changes nothing. Raises NotFoundError."""
    with in_tenant(tenant):
        endpoint = lock_endpoint(endpoint_id)
        if endpoint.state != EndpointState.ACTIVE:
            endpoint.state = EndpointState.ACTIVE.value
            endpoint.failing_since = endpoint.stopped_at = endpoint.notified_at = None
            endpoint.save(update_fields=["state", "failing_since", "stopped_at", "notified_at"])
            _audit(tenant, actor, "resumed", endpoint)
        return endpoint.view()


def delete_endpoint(*, tenant: TenantRef, endpoint_id: UUID, actor: str) -> EndpointView:
    """Forget an endpoint with all its deliveries; raises NotFoundError."""
    with in_tenant(tenant):
        endpoint = lock_endpoint(endpoint_id)
        gone = endpoint.view()
        _audit(tenant, actor, "deleted", endpoint)
        endpoint.delete()
        return gone


def lock_endpoint(endpoint_id: UUID) -> WebhookEndpoint:
    """Return an endpoint for a change, in the caller's transaction; raises NotFoundError."""
    endpoint = WebhookEndpoint.objects.select_for_update().filter(id=endpoint_id).first()
    if endpoint is None:
        raise NotFoundError("There is no such webhook endpoint.")
    return endpoint


def _give_secret(endpoint: WebhookEndpoint, secret: str, tenant: TenantRef) -> None:
    endpoint.secret, endpoint.secret_hint = seal(secret, tenant.id), secret[-4:]
    endpoint.secret_created_at = timezone.now()


def _check_url(url: str) -> None:
    try:
        outbound.check_address(url)
    except outbound.Refused as error:
        raise InvalidInput({"url": [str(error)]}) from None


def _clean_types(event_types: Sequence[str]) -> list[str]:
    if ALL_TYPES in event_types:
        return [ALL_TYPES]
    unknown = [name for name in event_types if name not in BY_TYPE]
    if unknown:
        raise InvalidInput({"event_types": [f"There is no event {unknown[0]!r}; see webhook-event-types."]})
    if not event_types:
        raise InvalidInput({"event_types": ["Choose at least one event, or * for all of them."]})
    return [name for name in BY_TYPE if name in set(event_types)]


def _clean(description: str) -> str:
    if "\x00" in description or len(description) > 200:
        raise InvalidInput({"description": ["Give at most 200 characters of text."]})
    return description.strip()


def _audit(tenant: TenantRef, actor: str, act: str, endpoint: WebhookEndpoint, **data: object) -> None:
    action = f"webhook_endpoint.{act}"
    record_audit(tenant=tenant, actor=actor, action=action, target=str(endpoint.id), data=data)
