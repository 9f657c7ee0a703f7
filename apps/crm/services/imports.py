"""Take customers and orders in from CSV: all rows, or none and a report of the bad ones."""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from uuid import UUID

from django.db import IntegrityError, models, transaction

from apps.crm import validation
from apps.crm.contracts import CsvRow, ImportReport
from apps.crm.csv_files import read_csv
from apps.crm.events import CustomersImported, OrdersImported
from apps.crm.models import Customer, Order
from apps.crm.services.orders import complete_order
from apps.events.contracts import DomainEvent
from apps.events.services import publish
from apps.resilience.errors import ConflictError, InvalidInput
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef

CUSTOMER_COLUMNS = ("external_id", "name", "email", "phone", "metadata")
ORDER_COLUMNS = (
    "number", "customer_email", "status", "total_cents", "currency", "items",
    "placed_at", "shipped_at", "delivered_at", "carrier", "tracking_code",
)  # fmt: skip
MAX_REPORTED = 100
BATCH = 1000
Cleaner = Callable[[dict[str, str]], dict[str, Any]]


class _BadRows:
    """Collects what is wrong, by line, and refuses the file when anything is."""

    def __init__(self) -> None:
        self._problems: dict[int, list[str]] = {}

    def add(self, line: int, problem: str) -> None:
        self._problems.setdefault(line, []).append(problem)

    def refuse_any(self) -> None:
        if not self._problems:
            return
        lines = sorted(self._problems)
        more = f" The first {MAX_REPORTED} are listed." if len(lines) > MAX_REPORTED else ""
        raise InvalidInput(
            {f"line {line}": self._problems[line] for line in lines[:MAX_REPORTED]},
            f"{len(lines)} rows are not right, so nothing was imported; mend them and send the file again."
            + more,
        )


def import_customers(*, tenant: TenantRef, raw: bytes, skip_existing: bool = False) -> ImportReport:
    """Add the customers of a CSV file; raises InvalidInput with every bad line, and then adds none.

    A row needs an email or an external id. One that is known already is a bad row, unless it is
    to be skipped; nobody is changed.
    """
    rows = read_csv(raw, columns=CUSTOMER_COLUMNS, required=())
    bad = _BadRows()
    cleaned = _clean_rows(rows, _clean_customer, bad)
    _refuse_repeats(cleaned, ("email", "external_id"), bad)
    with in_tenant(tenant):
        new = _drop_known(cleaned, Customer, ("email", "external_id"), bad, skip_existing)
        bad.refuse_any()
        customers = [Customer(**fields) for _, fields in new]
        _insert(tenant, customers, CustomersImported(tenant_id=tenant.id, created=len(customers)))
    return ImportReport(created=len(new), skipped=len(cleaned) - len(new))


def import_orders(*, tenant: TenantRef, raw: bytes, skip_existing: bool = False) -> ImportReport:
    """Add the orders of a CSV file and the customers that their emails name; as `import_customers`."""
    rows = read_csv(raw, columns=ORDER_COLUMNS, required=("number",))
    bad = _BadRows()
    cleaned = _clean_rows(rows, _clean_order, bad)
    _refuse_repeats(cleaned, ("number",), bad)
    with in_tenant(tenant):
        new = _drop_known(cleaned, Order, ("number",), bad, skip_existing)
        bad.refuse_any()
        customer_ids = _customers_by_email({fields["customer_email"] for _, fields in new} - {None})
        orders = [_order(fields, customer_ids) for _, fields in new]
        _insert(tenant, orders, OrdersImported(tenant_id=tenant.id, created=len(orders)))
    return ImportReport(created=len(new), skipped=len(cleaned) - len(new))


def _clean_rows(rows: Iterable[CsvRow], clean: Cleaner, bad: _BadRows) -> list[tuple[int, dict[str, Any]]]:
    cleaned = []
    for row in rows:
        try:
            cleaned.append((row.line, clean({name: cell for name, cell in row.values.items() if cell})))
        except InvalidInput as exc:
            for name, problems in exc.errors.items():
                bad.add(row.line, f"{name}: {' '.join(problems)}")
    return cleaned


def _clean_customer(cells: dict[str, str]) -> dict[str, Any]:
    cleaned = validation.clean(cells, validation.CUSTOMER | {"metadata": _from_json(validation.metadata)})
    if not cleaned.get("email") and not cleaned.get("external_id"):
        raise InvalidInput({"email": ["Give an email or an external_id, so that the customer can be found."]})
    return cleaned


def _clean_order(cells: dict[str, str]) -> dict[str, Any]:
    rules = validation.ORDER | {
        "customer_email": validation.email,
        "items": _from_json(validation.items),
        "total_cents": _from_json(validation.cents),
    }
    cleaned = validation.clean({"number": "", "customer_email": None, **cells}, rules)
    return complete_order(cleaned)


def _from_json(rule: validation.Rule) -> validation.Rule:
    def parse(cell: str) -> Any:
        try:
            value = json.loads(cell)
        except (ValueError, RecursionError):
            value = cell
        return rule(value)

    return parse


def _refuse_repeats(cleaned: list[tuple[int, dict[str, Any]]], keys: tuple[str, ...], bad: _BadRows) -> None:
    for key in keys:
        seen: dict[str, int] = {}
        for line, fields in cleaned:
            value = fields.get(key)
            if value and seen.setdefault(value, line) != line:
                bad.add(line, f"{key}: {value} is in line {seen[value]} already; keep one of the two.")


def _drop_known(
    cleaned: list[tuple[int, dict[str, Any]]],
    model: type[Customer] | type[Order],
    keys: tuple[str, ...],
    bad: _BadRows,
    skip_existing: bool,
) -> list[tuple[int, dict[str, Any]]]:
    known = {key: _known(model, key, [fields.get(key) for _, fields in cleaned]) for key in keys}
    new = []
    for line, fields in cleaned:
        taken = [key for key in keys if fields.get(key) in known[key]]
        if not taken:
            new.append((line, fields))
        elif not skip_existing:
            hint = "remove the row, or import with existing=skip"
            bad.add(line, f"{taken[0]}: {fields[taken[0]]} is known already; {hint}.")
    return new


def _known(model: type[Customer] | type[Order], key: str, values: list[Any]) -> set[Any]:
    wanted = [value for value in values if value]
    found: set[Any] = set()
    for batch in _batches(wanted):
        query: models.QuerySet[Any] = model.objects.filter(**{f"{key}__in": batch})
        found.update(query.values_list(key, flat=True))
    return found


def _customers_by_email(emails: set[str]) -> dict[str, UUID]:
    missing = sorted(emails - _known(Customer, "email", list(emails)))
    added = [Customer(email=email) for email in missing]
    Customer.objects.bulk_create(added, batch_size=BATCH, ignore_conflicts=True)
    found: dict[str, UUID] = {}
    for batch in _batches(sorted(emails)):
        customers = Customer.objects.filter(email__in=batch).only("email")
        found.update({str(customer.email): customer.id for customer in customers})
    return found


def _order(fields: dict[str, Any], customer_ids: dict[str, UUID]) -> Order:
    email = fields.pop("customer_email")
    return Order(**fields, customer_id=customer_ids.get(email) if email else None)


def _insert(tenant: TenantRef, rows: list[Any], event: DomainEvent) -> None:
    if not rows:
        return
    try:
        with transaction.atomic():
            type(rows[0]).objects.bulk_create(rows, batch_size=BATCH)
    except IntegrityError as exc:
        raise ConflictError("Some rows were added by somebody else meanwhile; import again.") from exc
    publish(event)


def _batches(values: list[Any]) -> Iterator[list[Any]]:
    return (values[start : start + BATCH] for start in range(0, len(values), BATCH))
