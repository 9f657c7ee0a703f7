"""Leads: the list, one of them, and how far they are."""

from urllib.parse import urlencode
from uuid import UUID, uuid4

from django.db.models import Q, QuerySet
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from apps.crm import selectors, services
from apps.crm.forms import LeadFilter, LeadForm, StatusForm
from apps.crm.models import Lead
from apps.crm.pages.shared import edit
from apps.resilience.errors import InvalidInput
from apps.tenants.dashboard import MemberRequest, member_page, notify
from apps.tenants.paging import paginate


@member_page(read="read:leads")
def show_leads(request: MemberRequest) -> HttpResponse:
    """List leads, newest first."""
    form = LeadFilter(request.GET)
    rows = chosen_leads(form)
    context = {
        "form": form,
        "page": paginate(rows, request.GET.get("cursor", "")),
        "is_filtered": bool(request.GET.get("q") or request.GET.get("status")),
        "may_write": request.principal.may("write:leads"),
    }
    return render(request, "crm/leads.html", context, status=422 if form.errors else 200)


@member_page(read="read:leads", write="write:leads")
def show_lead(request: MemberRequest, lead_id: UUID) -> HttpResponse:
    """Show a lead, and correct it."""
    lead = selectors.get_lead(tenant=request.tenant, lead_id=lead_id)
    if request.method == "POST":

        def save(form: LeadForm) -> object:
            return services.update_lead(tenant=request.tenant, lead_id=lead_id, **form.fields_given())

        return edit(request, LeadForm, save, title="Edit lead", done="Saved.", then="lead")
    initial = {name: getattr(lead, name) for name in LeadForm.base_fields}
    may_write = request.principal.may("write:leads")
    context = {
        "lead": lead,
        "form": LeadForm(initial=initial),
        "status_form": StatusForm(initial={"status": lead.status}),
        "may_write": may_write,
    }
    return render(request, "crm/lead.html", context)


@member_page(read="write:leads", write="write:leads")
def add_lead(request: MemberRequest) -> HttpResponse:
    """Add a lead by hand."""

    def save(form: LeadForm) -> object:
        key = f"page:{uuid4()}"
        return services.capture_lead(
            tenant=request.tenant, effect_key=key, source="dashboard", **form.fields_given()
        )

    return edit(request, LeadForm, save, title="New lead", done="Added.", then="lead")


@member_page(write="write:leads", post_only=True)
def change_status(request: MemberRequest, lead_id: UUID) -> HttpResponse:
    """Move a lead on, or back."""
    before = selectors.get_lead(tenant=request.tenant, lead_id=lead_id)
    form = StatusForm({**request.GET.dict(), **request.POST.dict()})
    if not form.is_valid():
        raise InvalidInput({"status": [str(error) for error in form.errors["status"]]})
    lead = services.update_lead(tenant=request.tenant, lead_id=lead_id, status=form.cleaned_data["status"])
    undo = f"{reverse('lead_status', args=[lead_id])}?{urlencode({'status': before.status.value})}"
    notify(request, f"The lead is {lead.status.value} now.", undo_url=undo)
    return redirect("lead", lead_id)


def chosen_leads(form: LeadFilter) -> QuerySet[Lead]:
    """Return the leads that a filter lets through; none where it is not right."""
    return _filtered(form.cleaned_data) if form.is_valid() else Lead.objects.none()


def _filtered(given: dict[str, str]) -> QuerySet[Lead]:
    rows = Lead.objects.all()
    if given["q"]:
        text = given["q"]
        rows = rows.filter(Q(email__startswith=text.lower()) | Q(phone=text) | Q(name__icontains=text))
    return rows.filter(status=given["status"]) if given["status"] else rows
