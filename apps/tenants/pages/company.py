"""The company's settings and audit trail, and the member's own profile."""

import csv
import datetime as dt
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from apps.resilience.errors import DomainError, InvalidInput
from apps.tenants.company import read_settings, set_requires_mfa, update_profile, update_settings
from apps.tenants.context import in_tenant
from apps.tenants.contracts import SIGNED_IN, Role
from apps.tenants.dashboard import MemberRequest, add_errors, member_page, notify
from apps.tenants.forms import AuditFilter, ProfileForm, SettingsForm
from apps.tenants.identity.selectors import find_second_step, has_shown_second_factor
from apps.tenants.models import AuditEvent
from apps.tenants.paging import paginate
from apps.tenants.selectors import wants_mail

EXPORT_ROWS = 10_000


@member_page(read="read:settings", write="write:settings")
def edit_settings(request: MemberRequest) -> HttpResponse:
    """Show and change the company's settings."""
    with in_tenant(request.tenant):
        present = read_settings(tenant=request.tenant)
    form = SettingsForm(request.POST if request.method == "POST" else None, initial=present)
    if request.method == "POST" and form.is_valid():
        try:
            update_settings(tenant=request.tenant, actor=request.user.email, **form.cleaned_data)
        except DomainError as error:
            add_errors(form, error)
        else:
            notify(request, "Saved.")
            return redirect("settings")
    context = {
        "form": form,
        "is_owner": request.membership.role is Role.OWNER,
        "requires_mfa": request.membership.requires_mfa,
    }
    return render(request, "tenants/settings.html", context, status=422 if form.errors else 200)


@member_page(write="write:settings", post_only=True, needs_verified=True)
def require_second_step(request: MemberRequest) -> HttpResponse:
    """Ask the company's members for a second step, or no more; who does so has shown one."""
    is_required = request.POST.get("required") == "yes"
    if not has_shown_second_factor(request):
        messages.warning(request, "Show your own second step first; then decide for the company.")
        return redirect(find_second_step(user_id=request.user.id, then=reverse("settings")))
    set_requires_mfa(
        tenant=request.tenant,
        is_required=is_required,
        actor=request.user.email,
        actor_role=request.membership.role,
    )
    notify(
        request, "Members show a second step from now on." if is_required else "No second step is asked for."
    )
    return redirect("settings")


@member_page(read=SIGNED_IN, write=SIGNED_IN)
def edit_profile(request: MemberRequest) -> HttpResponse:
    """Show and change one's own name, and whether one is mailed."""
    wanted = wants_mail(tenant=request.tenant, user_id=request.user.id)
    form = ProfileForm(
        request.POST if request.method == "POST" else None,
        initial={"name": request.user.name, "wants_mail": wanted},
    )
    if not request.principal.may("write:conversations"):
        del form.fields["wants_mail"]  # only those who answer are mailed
    if request.method == "POST" and form.is_valid():
        given = {"wants_mail": wanted, **form.cleaned_data}
        update_profile(tenant=request.tenant, user_id=request.user.id, **given)
        notify(request, "Saved.")
        return redirect("profile")
    return render(request, "tenants/profile.html", {"form": form}, status=422 if form.errors else 200)


@member_page(read="read:audit")
def list_audit(request: MemberRequest) -> HttpResponse:
    """Show who did what, newest first."""
    form = AuditFilter(request.GET)
    rows = _filtered(request, form)
    page = paginate(rows, request.GET.get("cursor", ""), by="-occurred_at", then="-id")
    context = {"form": form, "page": page}
    return render(request, "tenants/audit.html", context, status=422 if form.errors else 200)


@member_page(read="read:audit")
def export_audit(request: MemberRequest) -> HttpResponse:
    """Send the newest rows of the trail as CSV; raises InvalidInput for a filter that is none."""
    form = AuditFilter(request.GET)
    if not form.is_valid():
        raise InvalidInput({name: [str(error) for error in errors] for name, errors in form.errors.items()})
    rows = list(_filtered(request, form).order_by("-occurred_at", "-id")[:EXPORT_ROWS])
    response = StreamingHttpResponse(_lines(rows), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="audit.csv"'
    return response  # type: ignore[return-value]


def _filtered(request: MemberRequest, form: AuditFilter) -> QuerySet[AuditEvent]:
    rows = AuditEvent.objects.all()
    if not form.is_valid():
        return rows.none()
    given = form.cleaned_data
    zone = ZoneInfo(read_settings(tenant=request.tenant)["time_zone"])
    for name in ("action", "actor", "target"):
        rows = rows.filter(**{f"{name}__icontains": given[name]}) if given[name] else rows
    if given["since"]:
        rows = rows.filter(occurred_at__gte=_midnight(given["since"], zone))
    if given["until"]:
        rows = rows.filter(occurred_at__lt=_midnight(given["until"], zone) + dt.timedelta(days=1))
    return rows


def _midnight(day: dt.date, zone: ZoneInfo) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), tzinfo=zone)


class _Echo:
    def write(self, line: str) -> str:
        return line


def _lines(rows: list[AuditEvent]) -> Iterator[str]:
    writer: Any = csv.writer(_Echo())
    yield writer.writerow(["time", "who", "what", "target", "from", "data"])
    for row in rows:
        cells = [row.occurred_at.isoformat(), row.actor, row.action, row.target, row.address or "", row.data]
        yield writer.writerow([_harmless(str(cell)) for cell in cells])


def _harmless(cell: str) -> str:
    """Keep a spreadsheet from reading a cell as a formula."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
