"""Deliveries: what an event becomes, a test, and replays."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from django.utils import timezone

from apps.events.contracts import Envelope
from apps.resilience.errors import ConflictError, InvalidInput, NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.services import record_audit
from apps.webhooks.catalog import BY_TYPE, public_payload, sample_payload
from apps.webhooks.contracts import ALL_TYPES, DeliveryStatus, EndpointState
from apps.webhooks.models import WebhookDelivery, WebhookEndpoint
from apps.webhooks.services.endpoints import lock_endpoint

KEPT = dt.timedelta(days=30)
REPLAYED_AT_ONCE = 1000
STOPPED = "The endpoint is {state}: resume it first."


def enqueue(envelopes: Sequence[Envelope]) -> int:
    """Write down events for every endpoint that wants them, once, in the tenant's transaction."""
    there = WebhookEndpoint.objects.exclude(state=EndpointState.GONE)
    wanted = dict(there.values_list("id", "event_types"))
    made = []
    for envelope in envelopes:
        ids = [one for one, types in wanted.items() if envelope.type in types or ALL_TYPES in types]
        body = _written(public_payload(envelope)) if ids else ""
        made += [_delivery(one, envelope.id, envelope.type, body) for one in ids]
    return len(WebhookDelivery.objects.bulk_create(made, ignore_conflicts=True)) if made else 0


def send_test(*, tenant: TenantRef, endpoint_id: UUID, event_type: str = "", actor: str) -> WebhookDelivery:
    """Send an example of an event; it is tried once. Raises NotFoundError, ConflictError, InvalidInput."""
    if event_type and event_type not in BY_TYPE:
        raise InvalidInput({"event_type": [f"There is no event {event_type!r}; see webhook-event-types."]})
    with in_tenant(tenant):
        _require_active(lock_endpoint(endpoint_id))
        payload = sample_payload(event_type, timezone.now())
        delivery = _delivery(endpoint_id, uuid4(), payload["type"], _written(payload))
        delivery.is_test = True
        delivery.save(force_insert=True)
        record_audit(tenant=tenant, actor=actor, action="webhook_endpoint.tested", target=str(endpoint_id))
        return delivery


def replay(*, tenant: TenantRef, delivery_id: UUID, actor: str) -> WebhookDelivery:
    """Deliver again what has ended, under the same webhook-id; raises NotFoundError, ConflictError."""
    with in_tenant(tenant):
        wanted = WebhookDelivery.objects.filter(id=delivery_id)
        endpoint_id = wanted.values_list("endpoint_id", flat=True).first()
        if endpoint_id is None:
            raise NotFoundError("There is no such delivery.")
        _require_active(lock_endpoint(endpoint_id))
        delivery = wanted.select_for_update().get()
        if delivery.status == DeliveryStatus.PENDING:
            raise ConflictError("It is still being delivered; its next attempt comes by itself.")
        _begin_anew(WebhookDelivery.objects.filter(id=delivery_id))
        record_audit(
            tenant=tenant, actor=actor, action="webhook_delivery.replayed", target=delivery.webhook_id
        )
        delivery.refresh_from_db()
        return delivery


def replay_failed(*, tenant: TenantRef, endpoint_id: UUID, actor: str) -> int:
    """Deliver again what an endpoint failed to take, the oldest first and 1,000 at most; return how many.

    Raises NotFoundError, ConflictError.
    """
    with in_tenant(tenant):
        _require_active(lock_endpoint(endpoint_id))
        failed = WebhookDelivery.objects.filter(
            endpoint_id=endpoint_id, status=DeliveryStatus.FAILED, is_test=False
        )
        oldest = list(failed.order_by("id").values_list("id", flat=True)[:REPLAYED_AT_ONCE])
        count = _begin_anew(WebhookDelivery.objects.filter(id__in=oldest, status=DeliveryStatus.FAILED))
        record_audit(
            tenant=tenant,
            actor=actor,
            action="webhook_endpoint.replayed",
            target=str(endpoint_id),
            data={"deliveries": count},
        )
        return count


def purge_deliveries(*, tenant: TenantRef) -> int:
    """Forget deliveries, with their attempts, of more than 30 days ago; return how many."""
    with in_tenant(tenant):
        old = WebhookDelivery.objects.filter(created_at__lt=timezone.now() - KEPT)
        return old.delete()[1].get("webhooks.WebhookDelivery", 0)


def _begin_anew(rows: Any) -> int:
    count: int = rows.update(
        status=DeliveryStatus.PENDING, failures=0, due_at=timezone.now(), leased_until=None, finished_at=None
    )
    return count


def _require_active(endpoint: WebhookEndpoint) -> None:
    if endpoint.state != EndpointState.ACTIVE:
        raise ConflictError(STOPPED.format(state=endpoint.state))


def _delivery(endpoint_id: UUID, event_id: UUID, event_type: str, body: str) -> WebhookDelivery:
    return WebhookDelivery(
        endpoint_id=endpoint_id,
        event_id=event_id,
        event_type=event_type,
        body=body,
        due_at=timezone.now(),
    )


def _written(payload: dict[str, Any]) -> str:
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
