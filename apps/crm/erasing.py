"""Forget a customer: they are hidden at once, and their row goes last."""

from uuid import UUID

from django.db.models import Q

from apps.crm.models import Customer, Lead, Order
from apps.resilience.errors import NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import Erased, Subject, TenantRef
from apps.tenants.erasing.services import Erasure, begin_erasure, find_erasure

RULES = {
    "crm.Customer": "erased",
    "crm.Lead": "erased",
    "crm.Order": "kept: what was sold for how much, for bookkeeping; without the customer and the parcel",
    "crm.OrderAction": "kept: the proof that something was done to an order once",
}
MIN_IDENTIFIER_CHARS = 5  # what is shorter would be found in what concerns others


def erase_customer(*, tenant: TenantRef, customer_id: UUID, actor: str) -> Erasure:
    """Hide a customer at once and have every trace of them erased by a worker; again returns the first.

    Raises NotFoundError for a customer who is not known and was never erased.
    """
    with in_tenant(tenant):
        known = find_erasure(tenant=tenant, customer_id=customer_id)
        if known is not None:
            return known
        customer = Customer.objects.select_for_update().filter(id=customer_id).first()
        if customer is None:
            raise NotFoundError("There is no such customer.")
        erasure = begin_erasure(
            tenant=tenant, customer_id=customer_id, identifiers=_identifiers(customer), actor=actor
        )
        customer.name, customer.phone, customer.metadata = "", "", {}
        customer.email = customer.external_id = None
        customer.save()
        return erasure


def find_customer_id(*, tenant: TenantRef, given: str) -> UUID:
    """Return the id of a customer by id or e-mail address; raises NotFoundError."""
    try:
        return UUID(given)
    except ValueError:
        pass
    with in_tenant(tenant):
        found = Customer.objects.filter(email=given.strip().lower()).values_list("id", flat=True).first()
    if found is None:
        raise NotFoundError(f"There is no customer {given!r}.")
    return found


def erase_traces(*, tenant: TenantRef, subject: Subject) -> Erased:
    """Take the customer off their orders, and delete leads and the customer, in the caller's transaction."""
    orders = Order.objects.filter(customer_id=subject.customer_id)
    freed = orders.update(customer=None, carrier="", tracking_code="")
    leads = Lead.objects.filter(
        Q(customer_id=subject.customer_id)
        | Q(email__in=subject.identifiers)
        | Q(phone__in=subject.identifiers)
        | _of_conversations(subject)
    )
    gone = {"crm.Lead": leads.delete()[0], "crm.Order": freed}
    return Erased({**gone, "crm.Customer": Customer.objects.filter(id=subject.customer_id).delete()[0]})


def _of_conversations(subject: Subject) -> Q:
    """Choose leads that a widget's conversation left: their key names it."""
    chosen = Q(pk__in=[])
    for conversation_id in subject.conversation_ids:
        chosen |= Q(effect_key__startswith=f"widget:{conversation_id}:")
    return chosen


def _identifiers(customer: Customer) -> tuple[str, ...]:
    stated = customer.metadata.get("stated_email", "") if isinstance(customer.metadata, dict) else ""
    given = (customer.email, customer.phone, customer.external_id, stated)
    return tuple({str(one) for one in given if one and len(str(one)) >= MIN_IDENTIFIER_CHARS})
