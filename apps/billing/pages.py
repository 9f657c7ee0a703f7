"""Usage and the bill."""

import csv
import datetime as dt
from io import StringIO
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import path, reverse

from apps.billing import selectors, services
from apps.billing.adapters.pdf import draw_invoice
from apps.billing.chart import draw_days
from apps.billing.contracts import DailyUsage, Period, label_of
from apps.billing.forms import PeriodForm
from apps.billing.invoice_table import list_rows, write_total
from apps.billing.money import write_cents, write_period
from apps.billing.plan_table import describe_change, describe_offer, describe_preview, describe_trial
from apps.tenants.context import in_tenant
from apps.tenants.dashboard import MemberRequest, member_page, notify
from apps.tenants.paging import paginate

ONE_DAY = dt.timedelta(days=1)


@member_page(read="read:usage")
def show_usage(request: MemberRequest) -> HttpResponse:
    """Show the plan, the quotas, what is nearly spent, and the usage of a period."""
    form, usage, days, zone = _usage_of(request)
    kinds = list(dict.fromkeys(day.kind for day in usage))
    subscription = selectors.get_subscription(tenant=request.tenant)
    context = {
        "form": form,
        "plan": subscription.plan,
        "subscription": subscription,
        "trial": describe_trial(subscription),
        "price": write_cents(subscription.plan.price_cents, subscription.plan.currency),
        "period": write_period(subscription.period, zone),
        "time_zone": zone,
        "quotas": selectors.list_quotas(tenant=request.tenant),
        "alerts": selectors.list_quota_alerts(tenant=request.tenant),
        "charts": [draw_days(kind, label_of(kind), usage, days) for kind in kinds],
        "kinds": [label_of(kind) for kind in kinds],
        "table": _table(usage, kinds),
    }
    return render(request, "billing/usage.html", context, status=422 if form.errors else 200)


@member_page(read="read:usage")
def export_usage(request: MemberRequest) -> HttpResponse:
    """Give the usage of a period as CSV: day, kind, quantity."""
    form, usage, _, _ = _usage_of(request)
    if form.errors:
        return redirect("usage")
    text = StringIO()
    writer = csv.writer(text)
    writer.writerow(("date", "kind", "quantity"))
    writer.writerows((day.date.isoformat(), day.kind, day.quantity) for day in usage)
    name = f"usage-{form.chosen().start:%Y-%m-%d}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(text.getvalue(), content_type="text/csv; charset=utf-8", headers=headers)


@member_page(read="read:billing", write="write:usage")
def show_invoices(request: MemberRequest) -> HttpResponse:
    """Show the draft of the open period and the invoices that are final; POST has the draft checked."""
    if request.method == "POST":
        services.request_draft_check(tenant=request.tenant, actor=f"user:{request.user.id}")
        notify(request, "A worker compares the draft with every usage event now. Reload to see the result.")
        return redirect("invoices")
    draft = selectors.get_draft(tenant=request.tenant)
    found = paginate(selectors.final_invoices(), request.GET.get("cursor", ""), by="-number", size=24)
    context = {
        "draft": _described(draft) if draft else None,
        "check": _check(request, draft.currency) if draft else None,
        "may_check": request.principal.may("write:usage"),
        "page": found,
        "invoices": [_described(selectors.view_of(row)) for row in found.items],
    }
    return render(request, "billing/invoices.html", context)


@member_page(read="read:billing")
def show_invoice(request: MemberRequest, invoice_id: UUID) -> HttpResponse:
    """Show a final invoice, ready to be printed."""
    invoice = selectors.get_invoice(tenant=request.tenant, invoice_id=invoice_id)
    context = _described(invoice) | {"company": request.membership.tenant_name}
    return render(request, "billing/invoice.html", context)


@member_page(read="read:billing")
def download_invoice(request: MemberRequest, invoice_id: UUID) -> HttpResponse:
    """Give a final invoice as PDF."""
    invoice = selectors.get_invoice(tenant=request.tenant, invoice_id=invoice_id)
    content = draw_invoice(invoice, company=request.membership.tenant_name)
    headers = {"Content-Disposition": f'attachment; filename="{invoice.number}.pdf"'}
    return HttpResponse(content, content_type="application/pdf", headers=headers)


@member_page(read="read:billing")
def show_plans(request: MemberRequest) -> HttpResponse:
    """Show the plans on sale, and what this period's usage so far would cost on each."""
    subscription = selectors.get_subscription(tenant=request.tenant)
    context = {
        "subscription": subscription,
        "trial": describe_trial(subscription),
        "offers": [
            describe_offer(offer, subscription) for offer in selectors.list_offers(tenant=request.tenant)
        ],
        "may_change": request.principal.may("write:billing"),
    }
    return render(request, "billing/plans.html", context)


@member_page(read="write:billing", write="write:billing")
def choose_plan(request: MemberRequest, code: str) -> HttpResponse:
    """Show what changing to a plan would do, and do it."""
    if request.method == "POST":
        changed = services.change_plan(tenant=request.tenant, plan_code=code, actor=f"user:{request.user.id}")
        undo = reverse("keep_plan") if changed.next_plan else ""
        notify(request, describe_change(changed), undo_url=undo)
        return redirect("plans")
    preview = selectors.preview_plan_change(tenant=request.tenant, plan_code=code)
    subscription = selectors.get_subscription(tenant=request.tenant)
    return render(request, "billing/plan.html", describe_preview(preview, subscription))


@member_page(write="write:billing", post_only=True)
def keep_plan(request: MemberRequest) -> HttpResponse:
    """Take back a change of plan that has not taken effect yet."""
    kept = services.keep_plan(tenant=request.tenant, actor=f"user:{request.user.id}")
    notify(request, f"You stay on {kept.plan.name}.")
    return redirect("plans")


def _usage_of(request: MemberRequest) -> tuple[PeriodForm, list[DailyUsage], list[dt.date], str]:
    zone = selectors.get_subscription(tenant=request.tenant).time_zone
    periods = selectors.list_periods(tenant=request.tenant)
    form = PeriodForm(request.GET, periods=periods, time_zone=zone)
    period = form.chosen()
    usage = selectors.get_usage(tenant=request.tenant, start=period.start, end=period.end, time_zone=zone)
    return form, usage, _days(period, zone), zone


def _days(period: Period, zone: str) -> list[dt.date]:
    first = period.start.astimezone(ZoneInfo(zone)).date()
    last = (period.end - dt.timedelta(microseconds=1)).astimezone(ZoneInfo(zone)).date()
    return [first + ONE_DAY * place for place in range((last - first).days + 1)]


def _table(usage: list[DailyUsage], kinds: list[str]) -> list[tuple[dt.date, list[int]]]:
    days: dict[dt.date, dict[str, int]] = {}
    for row in usage:
        days.setdefault(row.date, {})[row.kind] = row.quantity
    return [(day, [found.get(kind, 0) for kind in kinds]) for day, found in days.items()]


def _described(invoice: Any) -> dict[str, Any]:
    return {
        "invoice": invoice,
        "rows": list_rows(invoice),
        "total": write_total(invoice),
        "period": write_period(invoice.period, invoice.time_zone),
    }


def _check(request: MemberRequest, currency: str) -> dict[str, Any] | None:
    with in_tenant(request.tenant):
        check = selectors.get_last_check(tenant=request.tenant)
    return {"found": check, "total": write_cents(check.events_cents, currency)} if check else None


urlpatterns = [
    path("usage/", show_usage, name="usage"),
    path("usage/export/", export_usage, name="export_usage"),
    path("plans/", show_plans, name="plans"),
    path("plans/keep/", keep_plan, name="keep_plan"),
    path("plans/<slug:code>/", choose_plan, name="choose_plan"),
    path("invoices/", show_invoices, name="invoices"),
    path("invoices/<uuid:invoice_id>/", show_invoice, name="invoice"),
    path("invoices/<uuid:invoice_id>.pdf", download_invoice, name="invoice_pdf"),
]
