"""The overview: KPIs with their predecessors, their course, and the conversations behind each figure."""

import datetime as dt
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.utils import timezone

from apps.analytics import selectors
from apps.analytics.charts import HEIGHT, WIDTH, Line, draw_line
from apps.analytics.forms import PERIODS, PeriodForm
from apps.analytics.kpis import BY_KEY, KPIS, Kpi, total
from apps.analytics.models import ConversationFact
from apps.analytics.report_tables import TITLES, read_table, write_csv
from apps.analytics.selectors import KpiReport
from apps.analytics.services import set_weekly_report
from apps.analytics.spans import Span, span_between, usual_granularity
from apps.analytics.writing import explain, write_change, write_cost, write_duration, write_value
from apps.billing.selectors import get_trial, list_quota_alerts
from apps.resilience.errors import InvalidInput, NotFoundError
from apps.tenants.dashboard import MemberRequest, member_page, notify
from apps.tenants.paging import Page, paginate
from apps.tenants.replica import read_at_replica
from apps.tenants.selectors import get_time_zone

CARDS = (
    "conversations", "resolution_rate", "escalation_rate",
    "first_response_p50", "cost_per_conversation", "csat",
)  # fmt: skip
ON_PAGE = ("agents", "channels", "intents")
STEP_FORMATS = {"hour": "%-d %b %H:%M", "day": "%-d %b", "week": "%-d %b", "month": "%b %Y"}


@dataclass(frozen=True)
class Course:
    """A KPI's way through a period and through the one before, as lines and as a table."""

    line: Line
    line_before: Line
    top: str
    marks: tuple[str, str]
    points: list[tuple[str, str, str]]


@dataclass(frozen=True)
class Figure:
    """A KPI as it is shown; `trend` is up or down where the change is good or bad."""

    kpi: Kpi
    value: str
    before: str
    change: str
    trend: str
    course: Course | None = None


@member_page(read="read:conversations")
def show_overview(request: MemberRequest) -> HttpResponse:
    """Show the KPIs of a period beside those of the one before."""
    form, span = _period(request, has_steps=True)
    granularity = form.chosen_granularity() or usual_granularity(span)
    cards = [BY_KEY[key] for key in CARDS]
    report = selectors.read_kpis(tenant=request.tenant, span=span, granularity=granularity, by_step=cards)
    context = {
        "form": form,
        "span": span,
        "is_running": report.before_until < span.start,
        "granularity": granularity,
        "query": _query(span),
        "periods": PERIODS,
        "chosen_days": span.days if span.last_day == form.today else 0,
        "cards": [_figure(report, kpi, with_course=True) for kpi in cards],
        "figures": [_figure(report, kpi) for kpi in KPIS if kpi.key not in CARDS],
        "reasons": report.reasons[:10],
        "chart": {"width": WIDTH, "height": HEIGHT},
        "is_new": not report.values["conversations"] and not report.before["conversations"],
        "alerts": list_quota_alerts(tenant=request.tenant) if request.principal.may("read:usage") else [],
    }
    template = "analytics/_figures.html" if request.htmx else "analytics/overview.html"
    if not request.htmx:
        context["trial"] = get_trial(tenant=request.tenant)
    return render(request, template, context, status=422 if form.errors else 200)


@member_page(read="read:conversations")
def show_rows(request: MemberRequest, key: str) -> HttpResponse:
    """List the conversations behind a figure, newest first."""
    kpi = BY_KEY.get(key)
    if kpi is None:
        raise NotFoundError("There is no such figure.")
    form, span = _period(request)
    others = kpi.unit == "ratio" and request.GET.get("show") == "others"
    reason = request.GET.get("reason", "").replace("\x00", "")

    def read(alias: str) -> Page[ConversationFact]:
        facts = selectors.list_rows(
            tenant=request.tenant, span=span, kpi=kpi, others=others, reason=reason, using=alias
        )
        return paginate(facts, request.GET.get("cursor", ""), by="-started_at", then="-conversation_id")

    page = read_at_replica(tenant=request.tenant, read=read)
    sums = selectors.sum_measures(tenant=request.tenant, span=span)
    context = {
        "kpi": kpi,
        "form": form,
        "span": span,
        "explanation": explain(kpi, sums),
        "others": others,
        "reason": reason,
        "has_others": kpi.unit == "ratio" and total(sums, kpi.whole) > total(sums, kpi.parts),
        "duration_label": kpi.label.partition(",")[0],
        "page": page,
        "rows": [_row(kpi, fact) for fact in page.items],
        "query": _query(span),
    }
    return render(request, "analytics/rows.html", context, status=422 if form.errors else 200)


def _period(request: MemberRequest, *, has_steps: bool = False) -> tuple[PeriodForm, Span]:
    zone = ZoneInfo(get_time_zone(tenant=request.tenant))
    today = timezone.now().astimezone(zone).date()
    form = PeriodForm(request.GET, today=today, has_steps=has_steps)
    first, last = form.chosen_days()
    if form.is_valid():  # shows the days that were meant
        shown = {"start": first, "end": last, "granularity": form.chosen_granularity()}
        form = PeriodForm(shown, today=today, has_steps=has_steps)
    return form, span_between(first, last, zone)


def _query(span: Span) -> str:
    return f"start={span.first_day}&end={span.last_day}"


def _figure(report: KpiReport, kpi: Kpi, *, with_course: bool = False) -> Figure:
    value, before = report.values[kpi.key], report.before[kpi.key]
    change, trend = write_change(kpi, value, before)
    course = _course(report, kpi) if with_course else None
    return Figure(kpi, write_value(kpi, value), write_value(kpi, before), change, trend, course)


def _course(report: KpiReport, kpi: Kpi) -> Course:
    values = [values[kpi.key] for _, values in report.steps]
    before = [values[kpi.key] for _, values in report.steps_before]
    if len(before) != len(values):  # weeks and months are cut by the calendar
        before = [None] * len(values)
    top = max((value for value in [*values, *before] if value is not None), default=0)
    labels = [_label(report, step) for step, _ in report.steps]
    points = [
        (label, write_value(kpi, value), write_value(kpi, earlier))
        for label, value, earlier in zip(labels, values, before, strict=True)
    ]
    return Course(
        line=draw_line(_until_now(report, values), top=top),
        line_before=draw_line(before, top=top),
        top=write_value(kpi, top) if top else "",
        marks=(labels[0], labels[-1]),
        points=points,
    )


def _until_now(report: KpiReport, values: list[Any]) -> list[Any]:
    """Leave out what has not come yet, so that no line falls to nothing there."""
    now = timezone.now()
    return [value if step <= now else None for (step, _), value in zip(report.steps, values, strict=True)]


def _label(report: KpiReport, step: dt.datetime) -> str:
    return step.astimezone(report.span.zone).strftime(STEP_FORMATS[report.granularity])


def _row(kpi: Kpi, fact: ConversationFact) -> dict[str, Any]:
    duration_ms = fact.counted.get(f"{kpi.duration}:sum_ms")
    first_response_ms = fact.first_response_ms
    return {
        "fact": fact,
        "first_response": "" if first_response_ms is None else write_duration(first_response_ms),
        "duration": "" if duration_ms is None else write_duration(duration_ms),
        "cost": write_cost(fact.cost_microusd),
        "gaps": fact.counted.get("gaps", 0),
    }


@member_page(read="read:conversations")
def show_reports(request: MemberRequest) -> HttpResponse:
    """Show a period by channel, intent and person."""
    form, span = _period(request)
    tables = [read_table(tenant=request.tenant, span=span, name=name) for name in ON_PAGE]
    context = {
        "form": form,
        "span": span,
        "query": _query(span),
        "tables": tables,
        "exports": TITLES.items(),
        "is_weekly": selectors.is_report_wanted(tenant=request.tenant),
        "may_schedule": request.principal.may("write:settings"),
    }
    return render(request, "analytics/reports.html", context, status=422 if form.errors else 200)


@member_page(read="read:conversations")
def export_report(request: MemberRequest) -> HttpResponse:
    """Give one of the tables of a period as CSV."""
    form, span = _period(request)
    name = request.GET.get("table", "kpis")
    if name not in TITLES or form.errors:
        raise InvalidInput({"table": [f"Choose one of {', '.join(TITLES)}, and a period of days."]})
    table = read_table(tenant=request.tenant, span=span, name=name)
    file_name = f"{name}-{span.first_day}-{span.last_day}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{file_name}"'}
    return HttpResponse(write_csv(table), content_type="text/csv; charset=utf-8", headers=headers)


@member_page(write="write:settings", post_only=True)
def schedule_report(request: MemberRequest) -> HttpResponse:
    """Switch the weekly report by mail on or off."""
    is_on = request.POST.get("is_on") == "1"
    set_weekly_report(tenant=request.tenant, is_on=is_on, actor=request.user.email)
    notify(request, "The owners get last week's figures every Monday." if is_on else "No more weekly mail.")
    return redirect("reports")


urlpatterns = [
    path("reports/", show_reports, name="reports"),
    path("reports/export/", export_report, name="export_report"),
    path("reports/weekly/", schedule_report, name="schedule_report"),
    path("", show_overview, name="overview"),
    path("overview/<str:key>/", show_rows, name="overview_rows"),
]
