"""CSV for spreadsheets: no cell is taken for a formula, and nothing is held in memory."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from django.http import StreamingHttpResponse

from apps.tenants.audit import record_audit
from apps.tenants.context import NoTenantContext, current_tenant, in_tenant

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
BYTE_ORDER_MARK = "\ufeff"  # or a spreadsheet takes UTF-8 for something else


def write_csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Yield the file line by line, header first; None is an empty cell."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    for row in chain([columns], rows):
        writer.writerow([_escape(cell) for cell in row])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


def unescape(cell: str) -> str:
    """Read a cell back as it was before `write_csv`."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith((*FORMULA_STARTS, "'")) else cell


def send_csv(name: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> StreamingHttpResponse:
    """Answer with a file that is written while it is read; the audit trail tells who took it."""
    note_export(name)
    lines = chain([BYTE_ORDER_MARK], write_csv(columns, rows))
    response = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return response


def note_export(name: str) -> None:
    """Record that whoever asks takes a file along; needs the tenant's context."""
    tenant = current_tenant()
    if tenant is None:
        raise NoTenantContext("an export belongs to a tenant")
    with in_tenant(tenant):
        record_audit(tenant=tenant, action="data.exported", target=name)


def _escape(cell: object) -> str:
    written = "" if cell is None else str(cell)
    # The apostrophe itself is escaped too, so that what is exported is read back as it was.
    return f"'{written}" if written.startswith((*FORMULA_STARTS, "'")) else written
