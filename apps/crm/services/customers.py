"""Write customers."""

from typing import Any, Unpack
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import ProtectedError

from apps.crm import validation
from apps.crm.contracts import CustomerFields, CustomerView
from apps.crm.events import CustomerCreated
from apps.crm.models import Customer
from apps.events.services import publish
from apps.resilience.errors import ConflictError, InvalidInput, NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.services import record_audit

UNIQUE = ("external_id", "email")


def create_customer(*, tenant: TenantRef, **fields: Unpack[CustomerFields]) -> CustomerView:
    """Add a customer; raises InvalidInput, also where the email or external id is another customer's."""
    cleaned = validation.clean(fields, validation.CUSTOMER)
    with in_tenant(tenant):
        return _insert(tenant, cleaned).view()


def find_or_create_customer(
    *,
    tenant: TenantRef,
    name: str | None = None,
    email: str | None = None,
    external_id: str | None = None,
    phone: str | None = None,
) -> CustomerView:
    """Return the customer of this external id, else of this email, else a new one.

    What a known customer lacks is filled in; what they have is never overwritten. An email does not lead to
    somebody with another external id: the id says who it is, an address is what people type.
    Raises InvalidInput.
    """
    given = {"name": name, "email": email, "external_id": external_id, "phone": phone}
    cleaned = validation.clean(given, validation.CUSTOMER)
    with in_tenant(tenant):
        customer = _find(cleaned)
        if customer is None:
            if _is_anothers(cleaned):
                cleaned["email"] = None
            try:
                return _insert(tenant, cleaned).view()
            except InvalidInput:
                # Another transaction has just added the same customer.
                customer = _find(cleaned)
        if customer is None:
            raise ConflictError("The customer was added and removed meanwhile; try again.")
        return _fill_in(customer, cleaned).view()


def keep_stated_customer(
    *, tenant: TenantRef, customer_id: UUID | None, name: str = "", email: str = ""
) -> CustomerView:
    """Keep somebody of whom only their own word is known: a new customer, or the stated one of `customer_id`.

    The address is kept as `stated_email` in the metadata and never as `email`: by that, orders are shown and
    signed-in customers found. Raises InvalidInput, NotFoundError, and ConflictError for a customer who is
    known by an address or an external id.
    """
    given = {"name": name, "email": email}
    cleaned = validation.clean(given, validation.CUSTOMER)
    with in_tenant(tenant):
        if customer_id is None:
            stated = {"name": cleaned["name"], "metadata": _stated(cleaned["email"])}
            return _insert(tenant, stated).view()
        customer = Customer.objects.select_for_update().filter(id=customer_id).first()
        if customer is None:
            raise NotFoundError("There is no such customer.")
        if customer.email or customer.external_id:
            raise ConflictError("This customer is known already; what a visitor says does not change them.")
        customer.name = cleaned["name"] or customer.name
        customer.metadata = {**customer.metadata, **_stated(cleaned["email"])}
        customer.save(update_fields=["name", "metadata"])
        return customer.view()


def _stated(email: str | None) -> dict[str, str]:
    return {"stated_email": email} if email else {}


def update_customer(
    *, tenant: TenantRef, customer_id: UUID, **fields: Unpack[CustomerFields]
) -> CustomerView:
    """Change the given fields; raises NotFoundError, InvalidInput."""
    cleaned = validation.clean(fields, validation.CUSTOMER)
    with in_tenant(tenant):
        customer = Customer.objects.select_for_update().filter(id=customer_id).first()
        if customer is None:
            raise NotFoundError("There is no such customer.")
        for name, value in cleaned.items():
            setattr(customer, name, value)
        _save(customer, update_fields=list(cleaned))
        return customer.view()


def delete_customer(*, tenant: TenantRef, customer_id: UUID) -> None:
    """Remove a customer; raises NotFoundError, and ConflictError while orders name them."""
    with in_tenant(tenant):
        try:
            removed, _ = Customer.objects.filter(id=customer_id).delete()
        except ProtectedError as exc:
            raise ConflictError("This customer has orders; delete or reassign those first.") from exc
        if not removed:
            raise NotFoundError("There is no such customer.")
        record_audit(tenant=tenant, action="customer.deleted", target=str(customer_id))


def _insert(tenant: TenantRef, cleaned: dict[str, Any]) -> Customer:
    customer = Customer(**cleaned)
    _save(customer, force_insert=True)
    publish(CustomerCreated(tenant_id=tenant.id, customer_id=customer.id))
    return customer


def _save(customer: Customer, **options: Any) -> None:
    try:
        with transaction.atomic():
            customer.save(**options)
    except IntegrityError as exc:
        taken = [name for name in UNIQUE if f"crm_customer_{name}" in str(exc)]
        if not taken:
            raise
        raise InvalidInput({name: ["Another customer has this already."] for name in taken}) from exc


def _find(cleaned: dict[str, Any]) -> Customer | None:
    external_id, email = cleaned["external_id"], cleaned["email"]
    found = Customer.objects.filter(external_id=external_id).first() if external_id else None
    if found is None and email:
        found = Customer.objects.filter(email=email).first()
        if found is not None and external_id and found.external_id:
            return None
    return found


def _is_anothers(cleaned: dict[str, Any]) -> bool:
    if not (cleaned["email"] and cleaned["external_id"]):
        return False
    others = Customer.objects.exclude(external_id=cleaned["external_id"])
    return others.filter(email=cleaned["email"], external_id__isnull=False).exists()


def _fill_in(customer: Customer, cleaned: dict[str, Any]) -> Customer:
    lacking = {name: value for name, value in cleaned.items() if value and not getattr(customer, name)}
    if "email" in lacking and Customer.objects.filter(email=lacking["email"]).exists():
        del lacking["email"]
    for name, value in lacking.items():
        setattr(customer, name, value)
    if lacking:
        try:
            _save(customer, update_fields=list(lacking))
        except InvalidInput:
            customer.refresh_from_db()
    return customer
