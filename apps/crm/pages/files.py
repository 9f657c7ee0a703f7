"""CSV in, with a report of the rows that are not right, and CSV out."""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render

from apps.crm import services
from apps.crm.contracts import ImportReport
from apps.crm.csv_files import MAX_BYTES
from apps.crm.forms import ImportForm, LeadFilter, ListFilter, OrderFilter
from apps.crm.pages.customers import chosen_customers
from apps.crm.pages.leads import chosen_leads
from apps.crm.pages.orders import chosen_orders
from apps.crm.selectors import iterate_customers, iterate_leads, iterate_orders
from apps.crm.services.imports import CUSTOMER_COLUMNS, LEAD_COLUMNS, ORDER_COLUMNS
from apps.resilience.errors import ConflictError, InvalidInput
from apps.tenants.dashboard import MemberRequest, member_page, notify
from apps.tenants.spreadsheets import send_csv

LINE = re.compile(r"line (\d+)")


@member_page(read="write:customers", write="write:customers")
def take_customers(request: MemberRequest) -> HttpResponse:
    """Import customers: all rows or none."""
    return _take(request, services.import_customers, "customers", CUSTOMER_COLUMNS)


@member_page(read="write:orders", write="write:orders")
def take_orders(request: MemberRequest) -> HttpResponse:
    """Import orders and the customers that they name: all rows or none."""
    return _take(request, services.import_orders, "orders", ORDER_COLUMNS)


@member_page(read="write:leads", write="write:leads")
def take_leads(request: MemberRequest) -> HttpResponse:
    """Import leads: all rows or none."""
    return _take(request, services.import_leads, "leads", LEAD_COLUMNS)


@member_page(read="read:customers")
def send_customers(request: MemberRequest) -> StreamingHttpResponse:
    """Send the customers that the list's filter lets through."""
    chosen = chosen_customers(ListFilter(request.GET))
    return _send("customers", CUSTOMER_COLUMNS, iterate_customers(tenant=request.tenant, rows=chosen))


@member_page(read="read:orders")
def send_orders(request: MemberRequest) -> StreamingHttpResponse:
    """Send the orders that the list's filter lets through."""
    chosen = chosen_orders(OrderFilter(request.GET))
    return _send("orders", ORDER_COLUMNS, iterate_orders(tenant=request.tenant, rows=chosen))


@member_page(read="read:leads")
def send_leads(request: MemberRequest) -> StreamingHttpResponse:
    """Send the leads that the list's filter lets through."""
    chosen = chosen_leads(LeadFilter(request.GET))
    return _send("leads", LEAD_COLUMNS, iterate_leads(tenant=request.tenant, rows=chosen))


def _send(name: str, columns: Sequence[str], rows: Iterable[object]) -> StreamingHttpResponse:
    return send_csv(name, columns, ([_cell(getattr(row, column)) for column in columns] for row in rows))


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
            notify(request, _say(done, things))
            return redirect(things)
    return render(request, "crm/import.html", context, status=422 if form.errors else 200)


def _say(done: ImportReport, things: str) -> str:
    if not done.created and not done.skipped:
        return f"Nothing new: all {done.unchanged} rows are here already, as they are."
    unchanged = f", {done.unchanged} were here already" if done.unchanged else ""
    skipped = f", {done.skipped} skipped because they differ from what is here" if done.skipped else ""
    return f"{done.created} {things} imported{unchanged}{skipped}."


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


def _cell(value: object) -> object:
    if isinstance(value, dict | list):
        return json.dumps(value)
    return value.isoformat() if hasattr(value, "isoformat") else value
