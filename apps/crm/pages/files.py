"""CSV in, with a report of the rows that are not right, and CSV out."""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render

from apps.crm import selectors, services
from apps.crm.contracts import ImportReport
from apps.crm.csv_files import MAX_BYTES, write_csv
from apps.crm.forms import ImportForm
from apps.crm.services.imports import CUSTOMER_COLUMNS, ORDER_COLUMNS
from apps.resilience.errors import ConflictError, InvalidInput
from apps.tenants.dashboard import MemberRequest, member_page, notify

LEAD_COLUMNS = ("name", "email", "phone", "message", "source", "status", "created_at")
LINE = re.compile(r"line (\d+)")


@member_page(read="write:customers", write="write:customers")
def take_customers(request: MemberRequest) -> HttpResponse:
    """Import customers: all rows or none."""
    return _take(request, services.import_customers, "customers", CUSTOMER_COLUMNS)


@member_page(read="write:orders", write="write:orders")
def take_orders(request: MemberRequest) -> HttpResponse:
    """Import orders and the customers that they name: all rows or none."""
    return _take(request, services.import_orders, "orders", ORDER_COLUMNS)


@member_page(read="read:customers")
def send_customers(request: MemberRequest) -> HttpResponse:
    """Send every customer as CSV."""
    rows = selectors.iterate_customers(tenant=request.tenant)
    cells = ([_cell(getattr(row, name)) for name in CUSTOMER_COLUMNS] for row in rows)
    return _send("customers", CUSTOMER_COLUMNS, cells)


@member_page(read="read:orders")
def send_orders(request: MemberRequest) -> HttpResponse:
    """Send every order as CSV."""
    rows = selectors.iterate_orders(tenant=request.tenant)
    return _send(
        "orders", ORDER_COLUMNS, ([_cell(getattr(row, name)) for name in ORDER_COLUMNS] for row in rows)
    )


@member_page(read="read:leads")
def send_leads(request: MemberRequest) -> HttpResponse:
    """Send every lead as CSV."""
    rows = selectors.iterate_leads(tenant=request.tenant)
    return _send(
        "leads", LEAD_COLUMNS, ([_cell(getattr(row, name)) for name in LEAD_COLUMNS] for row in rows)
    )


def _take(
    request: MemberRequest,
    import_rows: Callable[..., ImportReport],
    things: str,
    columns: Sequence[str],
) -> HttpResponse:
    is_post = request.method == "POST"
    form = ImportForm(request.POST, request.FILES) if is_post else ImportForm()
    context: dict[str, Any] = {"form": form, "things": things, "columns": columns}
    if is_post and form.is_valid():
        try:
            done = import_rows(
                tenant=request.tenant,
                raw=form.cleaned_data["file"].read(MAX_BYTES + 1),
                skip_existing=form.cleaned_data["skip_existing"],
            )
        except InvalidInput as error:
            context |= _report(form, error)
        except ConflictError as error:
            form.add_error(None, error.detail)
        else:
            skipped = f", {done.skipped} skipped" if done.skipped else ""
            notify(request, f"{done.created} {things} imported{skipped}.")
            return redirect(things)
    return render(request, "crm/import.html", context, status=422 if form.errors else 200)


def _report(form: ImportForm, error: InvalidInput) -> dict[str, Any]:
    """Put what concerns the whole file at its field; return the rows that are not right."""
    rows = []
    for name, problems in error.errors.items():
        if found := LINE.fullmatch(name):
            rows.append((int(found[1]), problems))
        else:
            for problem in problems:
                form.add_error("file", problem)
    if rows:
        form.add_error("file", error.detail)
    return {"bad_rows": rows}


def _send(name: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> HttpResponse:
    response = StreamingHttpResponse(write_csv(columns, rows), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return response  # type: ignore[return-value]


def _cell(value: object) -> object:
    if isinstance(value, dict | list):
        return json.dumps(value)
    return value.isoformat() if hasattr(value, "isoformat") else value
