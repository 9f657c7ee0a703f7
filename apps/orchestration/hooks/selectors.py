"""Read webhook endpoints, who listens to them, and their deliveries."""

from __future__ import annotations

from uuid import UUID

from django.db.models import OuterRef, QuerySet, Subquery

from apps.orchestration.definitions.contracts import WorkflowDefinition
from apps.orchestration.definitions.selectors import list_hooked
from apps.orchestration.hooks.contracts import EndpointView
from apps.orchestration.hooks.models import Delivery, Endpoint
from apps.resilience.errors import NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef


def get_endpoint(*, tenant: TenantRef, endpoint_id: UUID) -> EndpointView:
    """Return an endpoint; raises NotFoundError."""
    with in_tenant(tenant):
        endpoint = Endpoint.objects.filter(id=endpoint_id).first()
    if endpoint is None:
        raise NotFoundError("There is no such webhook endpoint.")
    return endpoint.view()


def query_endpoints() -> QuerySet[Endpoint]:
    """Choose the endpoints, each with its newest delivery's time and status, in the caller's transaction."""
    newest = Delivery.objects.filter(endpoint_id=OuterRef("id")).order_by("-id")
    return Endpoint.objects.annotate(
        delivered_at=Subquery(newest.values("last_at")[:1]), delivered=Subquery(newest.values("status")[:1])
    )


def query_deliveries(*, endpoint_id: UUID, status: str = "") -> QuerySet[Delivery]:
    """Choose an endpoint's deliveries, in the caller's transaction of its tenant."""
    chosen = {"status": status} if status else {}
    return Delivery.objects.filter(endpoint_id=endpoint_id, **chosen)


def find_delivery(*, tenant: TenantRef, endpoint_id: UUID, delivery_id: UUID) -> Delivery | None:
    """Return one delivery of an endpoint, or None."""
    with in_tenant(tenant):
        return query_deliveries(endpoint_id=endpoint_id).filter(id=delivery_id).first()


def list_listeners(*, tenant: TenantRef, name: str) -> list[WorkflowDefinition]:
    """Return the published workflows that an endpoint's deliveries start, by name."""
    return list_hooked(tenant=tenant).get(name, [])


def list_expected(*, tenant: TenantRef) -> dict[str, list[str]]:
    """Return the names that published workflows listen to though no endpoint has them, with the workflows."""
    with in_tenant(tenant):
        hooked = list_hooked(tenant=tenant)
        present = set(Endpoint.objects.filter(name__in=hooked).values_list("name", flat=True))
    return {name: [w.name for w in found] for name, found in hooked.items() if name not in present}
