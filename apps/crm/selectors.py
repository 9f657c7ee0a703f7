"""Read customers, orders and leads."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from apps.crm import validation
from apps.crm.contracts import CustomerView, LeadView, OrderActionView, OrderView
from apps.crm.models import Customer, Lead, Order, OrderAction
from apps.resilience.errors import InvalidInput, NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef

EXPORT_PAGE = 1000


def get_customer(*, tenant: TenantRef, customer_id: UUID) -> CustomerView:
    """Return a customer; raises NotFoundError."""
    with in_tenant(tenant):
        customer = Customer.objects.filter(id=customer_id).first()
    if customer is None:
        raise NotFoundError("There is no such customer.")
    return customer.view()


def find_customer(
    *, tenant: TenantRef, email: str | None = None, external_id: str | None = None
) -> CustomerView | None:
    """Return the customer of an external id, else of an email; None where there is none."""
    try:
        wanted = validation.clean({"email": email, "external_id": external_id}, validation.CUSTOMER)
    except InvalidInput:
        return None
    by = "external_id" if wanted["external_id"] else "email"
    if not wanted[by]:
        return None
    with in_tenant(tenant):
        customer = Customer.objects.filter(**{by: wanted[by]}).first()
    return customer.view() if customer else None


def get_order(*, tenant: TenantRef, order_id: UUID) -> OrderView:
    """Return an order by its id; raises NotFoundError."""
    with in_tenant(tenant):
        order = Order.objects.select_related("customer").filter(id=order_id).first()
    if order is None:
        raise NotFoundError("There is no such order.")
    return order.view()


def find_order(*, tenant: TenantRef, number: str, customer_email: str | None = None) -> OrderView | None:
    """Return the order of a number, written with or without #; None where there is none.

    With an email, only where the order is that customer's.
    """
    try:
        wanted = validation.clean({"number": number}, validation.ORDER)
        email = validation.email(customer_email)
    except (InvalidInput, ValueError):
        return None
    with in_tenant(tenant):
        order = Order.objects.select_related("customer").filter(**wanted).first()
    if order is None or (email and (order.customer is None or order.customer.email != email)):
        return None
    return order.view()


def list_customer_orders(*, tenant: TenantRef, customer_id: UUID, limit: int = 20) -> list[OrderView]:
    """Return a customer's orders, the newest placed first."""
    with in_tenant(tenant):
        orders = Order.objects.select_related("customer").filter(customer_id=customer_id)
        return [order.view() for order in orders.order_by("-placed_at", "-id")[:limit]]


def list_order_actions(*, tenant: TenantRef, order_id: UUID) -> list[OrderActionView]:
    """Return what was done to an order, in order."""
    with in_tenant(tenant):
        actions = OrderAction.objects.filter(order_id=order_id).order_by("id")
        return [action.view() for action in actions]


def get_lead(*, tenant: TenantRef, lead_id: UUID) -> LeadView:
    """Return a lead; raises NotFoundError."""
    with in_tenant(tenant):
        lead = Lead.objects.filter(id=lead_id).first()
    if lead is None:
        raise NotFoundError("There is no such lead.")
    return lead.view()


def iterate_customers(*, tenant: TenantRef, rows: QuerySet[Customer] | None = None) -> Iterator[CustomerView]:
    """Yield customers, oldest first, without holding a transaction between pages; None means every one."""
    return _iterate(tenant, Customer.objects.all() if rows is None else rows)


def iterate_orders(*, tenant: TenantRef, rows: QuerySet[Order] | None = None) -> Iterator[OrderView]:
    """Yield orders as `iterate_customers` does customers."""
    chosen = Order.objects.all() if rows is None else rows
    return _iterate(tenant, chosen.select_related("customer"))


def iterate_leads(*, tenant: TenantRef, rows: QuerySet[Lead] | None = None) -> Iterator[LeadView]:
    """Yield leads as `iterate_customers` does customers."""
    return _iterate(tenant, Lead.objects.all() if rows is None else rows)


def _iterate(tenant: TenantRef, rows: QuerySet[Any]) -> Iterator[Any]:
    after: dict[str, UUID] = {}
    while True:
        with in_tenant(tenant):
            page = [row.view() for row in rows.filter(**after).order_by("id")[:EXPORT_PAGE]]
        yield from page
        if len(page) < EXPORT_PAGE:
            return
        after = {"id__gt": page[-1].id}
