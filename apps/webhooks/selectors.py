"""Read endpoints, their deliveries and attempts."""

from __future__ import annotations

from uuid import UUID

from django.db.models import OuterRef, QuerySet, Subquery

from apps.resilience.errors import NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.webhooks.contracts import EndpointState, EndpointView
from apps.webhooks.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint

MAX_ATTEMPTS_SHOWN = 100


def get_endpoint(*, tenant: TenantRef, endpoint_id: UUID) -> EndpointView:
    """Return an endpoint; raises NotFoundError."""
    with in_tenant(tenant):
        endpoint = WebhookEndpoint.objects.filter(id=endpoint_id).first()
    if endpoint is None:
        raise NotFoundError("There is no such webhook endpoint.")
    return endpoint.view()


def query_endpoints() -> QuerySet[WebhookEndpoint]:
    """Choose the endpoints, each with its newest delivery, in the caller's transaction of their tenant."""
    newest = WebhookDelivery.objects.filter(endpoint_id=OuterRef("id")).order_by("-id")
    return WebhookEndpoint.objects.annotate(
        delivered_at=Subquery(newest.values("created_at")[:1]),
        delivered=Subquery(newest.values("status")[:1]),
    )


def list_stopped(*, tenant: TenantRef) -> list[EndpointView]:
    """Return the endpoints that were stopped because they failed, or are gone."""
    with in_tenant(tenant):
        rows = WebhookEndpoint.objects.filter(state__in=[EndpointState.FAILING, EndpointState.GONE])
        return [row.view() for row in rows.order_by("id")[:20]]


def query_deliveries(
    *, endpoint_id: UUID, status: str = "", event_type: str = ""
) -> QuerySet[WebhookDelivery]:
    """Choose an endpoint's deliveries, in the caller's transaction of their tenant."""
    wanted = {"status": status, "event_type": event_type}
    chosen = {name: value for name, value in wanted.items() if value}
    return WebhookDelivery.objects.filter(endpoint_id=endpoint_id, **chosen)


def get_delivery(*, tenant: TenantRef, delivery_id: UUID) -> WebhookDelivery:
    """Return a delivery with its endpoint; raises NotFoundError."""
    with in_tenant(tenant):
        delivery = WebhookDelivery.objects.select_related("endpoint").filter(id=delivery_id).first()
    if delivery is None:
        raise NotFoundError("There is no such delivery.")
    return delivery


def list_attempts(*, tenant: TenantRef, delivery_id: UUID) -> list[WebhookAttempt]:
    """Return a delivery's attempts, the newest first."""
    with in_tenant(tenant):
        rows = WebhookAttempt.objects.filter(delivery_id=delivery_id)
        return list(rows.order_by("-number")[:MAX_ATTEMPTS_SHOWN])
