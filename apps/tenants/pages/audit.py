"""The company's audit trail: to look through and to take along."""

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import render

from apps.resilience.errors import InvalidInput
from apps.tenants import audit
from apps.tenants.company import read_settings
from apps.tenants.dashboard import MemberRequest, member_page
from apps.tenants.forms import AuditFilter
from apps.tenants.paging import Page, paginate
from apps.tenants.spreadsheets import note_export, send_csv

NDJSON = "application/x-ndjson"


@member_page(read="read:audit")
def list_audit(request: MemberRequest) -> HttpResponse:
    """Show who did what, newest first."""
    form = AuditFilter(request.GET)
    page: Page[Any] = Page([], "", is_first=True)
    if form.is_valid():
        rows = audit.filter_audit_events(**_filters(request, form))
        page = paginate(rows, request.GET.get("cursor", ""), by="-occurred_at", then="-id")
    context = {
        "form": form,
        "page": page,
        "rows": [(event, describe_change(event.data)) for event in page.items],
        "actions": audit.list_known_actions(),
    }
    return render(request, "tenants/audit.html", context, status=422 if form.errors else 200)


@member_page(read="read:audit")
def export_audit(request: MemberRequest) -> StreamingHttpResponse:
    """Send every act that the filter chooses, as CSV or, with `?as=jsonl`, as lines of JSON."""
    form = AuditFilter(request.GET)
    if not form.is_valid():
        raise InvalidInput({name: [str(error) for error in errors] for name, errors in form.errors.items()})
    events = audit.read_audit_events(tenant=request.tenant, **_filters(request, form))
    told = (audit.write_audit_event(event) for event in events)
    if request.GET.get("as") == "jsonl":
        return send_lines("audit", told)
    return send_csv("audit", audit.COLUMNS, (_cells(act) for act in told))


def send_lines(name: str, rows: Iterator[dict[str, Any]]) -> StreamingHttpResponse:
    """Answer with a file of one JSON object a line, written while it is read."""
    note_export(name)
    lines = (json.dumps(row, default=str, ensure_ascii=False) + "\n" for row in rows)
    headers = {"Content-Disposition": f'attachment; filename="{name}.jsonl"'}
    return StreamingHttpResponse(lines, content_type=NDJSON, headers=headers)


def describe_change(data: dict[str, Any]) -> list[tuple[str, str | None, str]]:
    """Return (name, before, after) of what changed and (name, None, value) of what else is said, in words."""
    return [
        (name, None if before is None else _word(before), _word(after))
        for name, before, after in _find_changes(data)
    ]


def _word(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{name}: {_word(item)}" for name, item in value.items()) or "nothing"
    if isinstance(value, list):
        return ", ".join(map(_word, value)) or "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "nothing" if value in (None, "") else str(value)


def _find_changes(data: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    before, after = data.get("before"), data.get("after")
    more = [(name, None, value) for name, value in data.items() if name not in ("before", "after")]
    if not isinstance(before, dict) or not isinstance(after, dict):
        both = [("", before, after)] if before is not None or after is not None else []
        return both + more
    names = dict.fromkeys([*before, *after])
    changed = [name for name in names if before.get(name) != after.get(name)]
    return [(name, before.get(name), after.get(name)) for name in changed] + more


def _cells(act: dict[str, Any]) -> list[Any]:
    return [*list(act.values())[:-1], json.dumps(act["data"], ensure_ascii=False)]


def _filters(request: MemberRequest, form: AuditFilter) -> dict[str, Any]:
    given = form.cleaned_data
    days: dict[str, dt.datetime | None] = {}
    if given["since"] or given["until"]:
        zone = ZoneInfo(read_settings(tenant=request.tenant)["time_zone"])
        until = given["until"] and given["until"] + dt.timedelta(days=1)
        days = {"since": _midnight(given["since"], zone), "until": _midnight(until, zone)}
    return {name: given[name] for name in ("actor", "action", "target", "words")} | days


def _midnight(day: dt.date | None, zone: ZoneInfo) -> dt.datetime | None:
    return dt.datetime.combine(day, dt.time(), tzinfo=zone) if day else None
