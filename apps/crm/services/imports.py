"""Take customers, orders and leads in from CSV: all rows, or none and a report of the bad ones."""

from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Q

from apps.crm import validation
from apps.crm.contracts import ImportReport
from apps.crm.csv_files import read_csv
from apps.crm.events import CustomersImported, LeadsImported, OrdersImported
from apps.crm.models import Customer, Lead, Order
from apps.crm.services.import_rows import (
    BATCH,
    BadRows,
    ImportRow,
    Sorted,
    batches,
    clean_rows,
    from_json,
    refuse_repeats,
    sort_out,
)
from apps.crm.services.leads import UNREACHABLE
from apps.crm.services.orders import complete_order
from apps.events.contracts import DomainEvent
from apps.events.services import publish
from apps.resilience.errors import ConflictError, InvalidInput
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.services import record_audit

CUSTOMER_COLUMNS = ("external_id", "name", "email", "phone", "metadata")
ORDER_COLUMNS = (
    "number", "customer_email", "status", "total_cents", "currency", "items",
    "placed_at", "shipped_at", "delivered_at", "carrier", "tracking_code",
)  # fmt: skip
LEAD_COLUMNS = ("name", "email", "phone", "message", "source", "status", "created_at")


def import_customers(*, tenant: TenantRef, raw: bytes, skip_existing: bool = False) -> ImportReport:
    """Add the customers of a CSV file; raises InvalidInput with every bad line, and then adds none.

    A row needs an email or an external id. One that is known already and says nothing else is passed over;
    one that says something else is a bad row, unless it is to be skipped. Nobody is changed.
    """
    rows = read_csv(raw, columns=CUSTOMER_COLUMNS, required=())
    bad, keys = BadRows(), ("email", "external_id")
    cleaned = clean_rows(rows, _clean_customer, bad)
    refuse_repeats(cleaned, keys, bad)
    with in_tenant(tenant):
        found = sort_out(cleaned, Customer.objects.all(), keys, bad, skip_existing=skip_existing)
        bad.refuse_any()
        customers = [Customer(**row.fields) for row in found.new]
        _insert(customers, CustomersImported(tenant_id=tenant.id, created=len(customers)))
        record_audit(tenant=tenant, action="customers.imported", data={"created": len(customers)})
    return _report(found)


def import_orders(*, tenant: TenantRef, raw: bytes, skip_existing: bool = False) -> ImportReport:
    """Add the orders of a CSV file and the customers that their emails name; as `import_customers`."""
    rows = read_csv(raw, columns=ORDER_COLUMNS, required=("number",))
    bad = BadRows()
    cleaned = clean_rows(rows, _clean_order, bad)
    refuse_repeats(cleaned, ("number",), bad)
    with in_tenant(tenant):
        stored = Order.objects.select_related("customer")
        found = sort_out(cleaned, stored, ("number",), bad, skip_existing=skip_existing)
        bad.refuse_any()
        customer_ids = _customers_by_email({row.fields["customer_email"] for row in found.new} - {None})
        orders = [_order(row.fields, customer_ids) for row in found.new]
        _insert(orders, OrdersImported(tenant_id=tenant.id, created=len(orders)))
        record_audit(tenant=tenant, action="orders.imported", data={"created": len(orders)})
    return _report(found)


def import_leads(*, tenant: TenantRef, raw: bytes, skip_existing: bool = False) -> ImportReport:
    """Add the leads of a CSV file, linked to the customers of their emails; as `import_customers`.

    A lead is known by its email, phone and message together; `created_at` is not taken over.
    """
    rows = read_csv(raw, columns=LEAD_COLUMNS, required=())
    bad = BadRows()
    cleaned = clean_rows(rows, _clean_lead, bad)
    _refuse_same_leads(cleaned, bad)
    with in_tenant(tenant):
        known = _known_leads(cleaned)
        bad.refuse_any()
        found = Sorted(new=[row for row in cleaned if _identity(row.fields) not in known])
        found.unchanged = len(cleaned) - len(found.new)
        customer_ids = _known_customers({row.fields["email"] for row in found.new} - {None})
        leads = [Lead(**row.fields, customer_id=customer_ids.get(row.fields["email"])) for row in found.new]
        _insert(leads, LeadsImported(tenant_id=tenant.id, created=len(leads)))
        record_audit(tenant=tenant, action="leads.imported", data={"created": len(leads)})
    return _report(found)


def _clean_customer(cells: dict[str, str]) -> dict[str, Any]:
    cleaned = validation.clean(cells, validation.CUSTOMER | {"metadata": from_json(validation.metadata)})
    if not cleaned.get("email") and not cleaned.get("external_id"):
        raise InvalidInput({"email": ["Give an email or an external_id, so that the customer can be found."]})
    return cleaned


def _clean_order(cells: dict[str, str]) -> dict[str, Any]:
    rules = validation.ORDER | {
        "status": validation.order_status,
        "customer_email": validation.email,
        "items": from_json(validation.items),
        "total_cents": from_json(validation.cents),
    }
    cleaned = validation.clean({"number": "", "customer_email": None, **cells}, rules)
    return complete_order(cleaned)


def _clean_lead(cells: dict[str, str]) -> dict[str, Any]:
    given = {"email": None, **{name: cell for name, cell in cells.items() if name != "created_at"}}
    cleaned = validation.clean(given, validation.LEAD)
    if not cleaned["email"] and not cleaned.get("phone"):
        raise InvalidInput({"email": [UNREACHABLE]})
    return cleaned


def _refuse_same_leads(rows: list[ImportRow], bad: BadRows) -> None:
    seen: dict[tuple[str, ...], int] = {}
    for row in rows:
        first = seen.setdefault(_identity(row.fields), row.line)
        if first != row.line:
            bad.add(row.line, f"This is the lead of line {first}; keep one of the two.")


def _known_leads(rows: list[ImportRow]) -> set[tuple[str, ...]]:
    names = ("email", "phone", "message")
    known: set[tuple[str, ...]] = set()
    for batch in batches(rows):
        emails = [row.fields["email"] for row in batch if row.fields["email"]]
        phones = [row.fields["phone"] for row in batch if row.fields.get("phone")]
        stored = Lead.objects.filter(Q(email__in=emails) | Q(phone__in=phones)).values(*names)
        known.update(_identity(lead) for lead in stored)
    return known


def _identity(lead: Any) -> tuple[str, ...]:
    return tuple(lead.get(name) or "" for name in ("email", "phone", "message"))


def _customers_by_email(emails: set[str]) -> dict[str, UUID]:
    missing = sorted(emails - set(_known_customers(emails)))
    added = [Customer(email=email) for email in missing]
    Customer.objects.bulk_create(added, batch_size=BATCH, ignore_conflicts=True)
    return _known_customers(emails)


def _known_customers(emails: set[str]) -> dict[str, UUID]:
    found: dict[str, UUID] = {}
    for batch in batches(sorted(emails)):
        customers = Customer.objects.filter(email__in=batch).only("email")
        found.update({str(customer.email): customer.id for customer in customers})
    return found


def _order(fields: dict[str, Any], customer_ids: dict[str, UUID]) -> Order:
    email = fields.pop("customer_email")
    return Order(**fields, customer_id=customer_ids.get(email) if email else None)


def _insert(rows: list[Any], event: DomainEvent) -> None:
    if not rows:
        return
    try:
        with transaction.atomic():
            type(rows[0]).objects.bulk_create(rows, batch_size=BATCH)
    except IntegrityError as exc:
        raise ConflictError("Some rows were added by somebody else meanwhile; import again.") from exc
    publish(event)


def _report(found: Sorted) -> ImportReport:
    return ImportReport(created=len(found.new), unchanged=found.unchanged, skipped=found.skipped)
