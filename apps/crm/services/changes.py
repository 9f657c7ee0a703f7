"""Change customers so that it can be undone: what a change has replaced is known."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from apps.crm import validation
from apps.crm.contracts import CustomerChange
from apps.crm.models import Customer
from apps.resilience.errors import InvalidInput, NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef

FIELDS = ("name", "phone")
TAGS, MAX_TAGS, MAX_TAG_CHARS = "tags", 50, 50


def change_customer(
    *,
    tenant: TenantRef,
    customer_id: UUID,
    name: str | None = None,
    phone: str | None = None,
    metadata: dict[str, Any] | None = None,
) -> CustomerChange:
    """Change what is given, `metadata` key by key; by whom somebody is known, nothing changes.

    An address or an external id says whose orders are shown, so what is said in a conversation never
    changes them. Raises NotFoundError, InvalidInput.
    """
    given = {"name": name, "phone": phone}
    wanted = validation.clean(
        {key: value for key, value in given.items() if value is not None}, validation.CUSTOMER
    )
    with in_tenant(tenant):
        customer = _lock(customer_id)
        keys = {f"metadata.{key}": value for key, value in (metadata or {}).items()}
        return _change(customer, {**wanted, **keys})


def tag_customer(
    *, tenant: TenantRef, customer_id: UUID, add: Sequence[str] = (), remove: Sequence[str] = ()
) -> CustomerChange:
    """Add and remove tags, which are kept in the customer's metadata. Raises NotFoundError, InvalidInput."""
    with in_tenant(tenant):
        customer = _lock(customer_id)
        known = customer.metadata.get(TAGS, [])
        tags = [tag for tag in known if tag not in remove] if isinstance(known, list) else []
        tags += [tag for tag in dict.fromkeys(add) if tag not in tags]
        if len(tags) > MAX_TAGS or any(not tag or len(tag) > MAX_TAG_CHARS for tag in tags):
            raise InvalidInput({"add": [f"At most {MAX_TAGS} tags of 1 to {MAX_TAG_CHARS} characters."]})
        return _change(customer, {f"metadata.{TAGS}": tags})


def restore_customer(
    *, tenant: TenantRef, customer_id: UUID, before: dict[str, Any], after: dict[str, Any]
) -> CustomerChange:
    """Undo a change: each field that is still as `after` says becomes what it was. Raises NotFoundError.

    What somebody has changed since stays.
    """
    with in_tenant(tenant):
        customer = _lock(customer_id)
        untouched = {name for name, value in after.items() if _read(customer, name) == value}
        return _change(customer, {name: value for name, value in before.items() if name in untouched})


def _lock(customer_id: UUID) -> Customer:
    customer = Customer.objects.select_for_update().filter(id=customer_id).first()
    if customer is None:
        raise NotFoundError("There is no such customer.")
    return customer


def _change(customer: Customer, wanted: dict[str, Any]) -> CustomerChange:
    before = {name: _read(customer, name) for name, value in wanted.items() if _read(customer, name) != value}
    for name in before:
        _write(customer, name, wanted[name])
    customer.metadata = validation.clean({"metadata": customer.metadata}, validation.CUSTOMER)["metadata"]
    customer.save(update_fields=[*FIELDS, "metadata"])
    after = {name: _read(customer, name) for name in before}
    return CustomerChange(customer=customer.view(), before=before, after=after)


def _read(customer: Customer, name: str) -> Any:
    if name in FIELDS:
        return getattr(customer, name)
    return customer.metadata.get(name.removeprefix("metadata."))


def _write(customer: Customer, name: str, value: Any) -> None:
    if name in FIELDS:
        setattr(customer, name, value)
        return
    key = name.removeprefix("metadata.")
    rest = {other: kept for other, kept in customer.metadata.items() if other != key}
    customer.metadata = rest if value is None else {**rest, key: value}
