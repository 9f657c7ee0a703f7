"""The overview: KPIs with their predecessors, their course, and the conversations behind each figure."""

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.http import HttpResponse
from django.shortcuts import render
from django.urls import path
from django.utils import timezone

from apps.analytics import selectors
from apps.analytics.charts import HEIGHT, WIDTH, Line, draw_line
from apps.analytics.forms import PERIODS, PeriodForm
from apps.analytics.kpis import BY_KEY, KPIS, Kpi, Value
from apps.analytics.selectors import KpiReport, Span
from apps.resilience.errors import NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.dashboard import MemberRequest, member_page
from apps.tenants.paging import paginate
from apps.tenants.selectors import get_time_zone

CARDS = (
    "conversations", "resolution_rate", "escalation_rate",
    "first_response_p50", "cost_per_conversation", "csat",
)  # fmt: skip


@dataclass(frozen=True)
class Figure:
    """A KPI as it is shown; `trend` is up or down where the change is good or bad."""

    kpi: Kpi
    value: str
    before: str
    change: str
    trend: str
    line: Line | None = None
    points: tuple[tuple[dt.datetime, str], ...] = ()


@member_page(read="read:conversations")
def show_overview(request: MemberRequest) -> HttpResponse:
    """Show the KPIs of a period beside those of the one before."""
    form, span = _period(request)
    report = selectors.read_kpis(tenant=request.tenant, span=span)
    context = {
        "form": form,
        "span": span,
        "last_day": span.end - dt.timedelta(seconds=1),
        "query": _query(span),
        "periods": PERIODS,
        "cards": [_figure(report, BY_KEY[key], with_line=True) for key in CARDS],
        "figures": [_figure(report, kpi) for kpi in KPIS if kpi.key not in CARDS],
        "reasons": report.reasons[:10],
        "chart": {"width": WIDTH, "height": HEIGHT},
        "is_new": not report.values["conversations"] and not report.before["conversations"],
    }
    template = "analytics/_figures.html" if request.htmx else "analytics/overview.html"
    return render(request, template, context, status=422 if form.errors else 200)


@member_page(read="read:conversations")
def show_rows(request: MemberRequest, key: str) -> HttpResponse:
    """List the conversations behind a figure, newest first."""
    kpi = BY_KEY.get(key)
    if kpi is None:
        raise NotFoundError("There is no such figure.")
    form, span = _period(request)
    facts = selectors.list_rows(tenant=request.tenant, span=span, rows=kpi.rows)
    page = paginate(
        facts.defer("counted"), request.GET.get("cursor", ""), by="-started_at", then="-conversation_id"
    )
    context = {"kpi": kpi, "form": form, "span": span, "page": page, "query": _query(span)}
    return render(request, "analytics/rows.html", context, status=422 if form.errors else 200)


def _period(request: MemberRequest) -> tuple[PeriodForm, Span]:
    form = PeriodForm(request.GET)
    with in_tenant(request.tenant):
        zone = ZoneInfo(get_time_zone(tenant=request.tenant))
    first, last = form.days_until(timezone.now().astimezone(zone).date())
    start, end = selectors.midnight(first, zone), selectors.midnight(last + dt.timedelta(days=1), zone)
    return form, Span(start, end, zone)


def _query(span: Span) -> str:
    first, last = span.start.astimezone(span.zone), (span.end - dt.timedelta(seconds=1)).astimezone(span.zone)
    return f"start={first:%Y-%m-%d}&end={last:%Y-%m-%d}"


def _figure(report: KpiReport, kpi: Kpi, *, with_line: bool = False) -> Figure:
    value, before = report.values[kpi.key], report.before[kpi.key]
    change, trend = _change(kpi, value, before)
    if not with_line:
        return Figure(kpi, write(kpi, value), write(kpi, before), change, trend)
    series = [(step, values[kpi.key]) for step, values in report.steps]
    top = max((value for _, value in series if value is not None), default=0)
    line = draw_line([value for _, value in series], top=top)
    points = tuple((step.astimezone(report.span.zone), write(kpi, value)) for step, value in series)
    return Figure(kpi, write(kpi, value), write(kpi, before), change, trend, line, points)


def _change(kpi: Kpi, value: Value, before: Value) -> tuple[str, str]:
    if value is None or before is None or value == before:
        return "", ""
    difference = Decimal(value) - Decimal(before)
    trend = "" if not kpi.is_good else "up" if (difference > 0) == (kpi.is_good > 0) else "down"
    if kpi.unit == "ratio":
        return f"{difference * 100:+.1f} points", trend
    return (f"{difference / Decimal(before) * 100:+.0f} %" if before else ""), trend


def write(kpi: Kpi, value: Value) -> str:
    """Return a value as people read it; a dash where there is none."""
    if value is None:
        return "–"  # noqa: RUF001 - a dash
    match kpi.unit:
        case "ratio":
            return f"{Decimal(value) * 100:.1f} %"
        case "usd":
            return f"${value:.4f}"
        case "duration_ms":
            return _write_duration(int(value))
    return f"{value:,}"


def _write_duration(ms: int) -> str:
    for unit_ms, name in ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s")):
        if ms >= unit_ms:
            return f"{ms / unit_ms:.3g} {name}"
    return f"{ms} ms"


urlpatterns = [
    path("", show_overview, name="overview"),
    path("overview/<str:key>/", show_rows, name="overview_rows"),
]
