"""Write orders; what happens in their life is in order_actions."""

from typing import Any, Unpack
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.utils import timezone

from apps.crm import validation
from apps.crm.contracts import OrderFields, OrderView
from apps.crm.events import OrderCreated
from apps.crm.models import Customer, Order
from apps.crm.services.customers import find_or_create_customer
from apps.events.services import publish
from apps.resilience.errors import ConflictError, InvalidInput, NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.services import record_audit


def create_order(
    *, tenant: TenantRef, customer_email: str | None = None, **fields: Unpack[OrderFields]
) -> OrderView:
    """Add an order for `customer_id`, or for the customer of `customer_email`, made where unknown.

    Without a total the items are summed up; without a date it is placed now. Raises InvalidInput.
    """
    named = {"customer_email": customer_email}
    cleaned = validation.clean(fields | named, validation.ORDER | {"customer_email": validation.email})
    email = cleaned.pop("customer_email")
    if "number" not in cleaned:
        raise InvalidInput({"number": ["Give the order's number, like 1042."]})
    with in_tenant(tenant):
        if email and not cleaned.get("customer_id"):
            cleaned["customer_id"] = find_or_create_customer(tenant=tenant, email=email).id
        order = Order(**complete_order(cleaned))
        _check_customer(order.customer_id)
        _insert(order)
        publish(
            OrderCreated(tenant_id=tenant.id, order_id=order.id, number=order.number, status=order.status)
        )
        return order.view()


def update_order(*, tenant: TenantRef, order_id: UUID, **fields: Unpack[OrderFields]) -> OrderView:
    """Correct the given fields; number and status stay. Raises NotFoundError, InvalidInput."""
    fixed = [name for name in ("number", "status") if name in fields]
    if fixed:
        raise InvalidInput({name: ["This cannot be edited; use the order's actions."] for name in fixed})
    cleaned = validation.clean(fields, validation.ORDER)
    with in_tenant(tenant):
        order = Order.objects.select_for_update(of=("self",)).filter(id=order_id).first()
        if order is None:
            raise NotFoundError("There is no such order.")
        if "customer_id" in cleaned:
            _check_customer(cleaned["customer_id"])
        for name, value in cleaned.items():
            setattr(order, name, value)
        order.save(update_fields=[*cleaned, "updated_at"])
        return order.view()


def delete_order(*, tenant: TenantRef, order_id: UUID) -> None:
    """Remove an order that nothing was done to; raises NotFoundError, ConflictError."""
    with in_tenant(tenant):
        try:
            removed, _ = Order.objects.filter(id=order_id).delete()
        except ProtectedError as exc:
            raise ConflictError("This order has a history, which is kept; cancel it instead.") from exc
        if not removed:
            raise NotFoundError("There is no such order.")
        record_audit(tenant=tenant, action="order.deleted", target=str(order_id))


def complete_order(cleaned: dict[str, Any]) -> dict[str, Any]:
    """Return clean fields with the total and the date filled in."""
    lines = cleaned.get("items", [])
    total_cents = sum(line["quantity"] * line["unit_price_cents"] for line in lines)
    if "total_cents" not in cleaned and total_cents > validation.MAX_CENTS:
        raise InvalidInput({"items": ["Their sum is too large."]})
    return {"total_cents": total_cents, "placed_at": timezone.now(), **cleaned}


def _check_customer(customer_id: UUID | None) -> None:
    if customer_id is not None and not Customer.objects.filter(id=customer_id).exists():
        raise InvalidInput({"customer_id": ["There is no such customer; create them first."]})


def _insert(order: Order) -> None:
    try:
        with transaction.atomic():
            order.save(force_insert=True)
    except IntegrityError as exc:
        if "crm_order_number" not in str(exc):
            raise
        taken = f"There is an order {order.number} already; give another number, or change that order."
        raise InvalidInput({"number": [taken]}) from exc
