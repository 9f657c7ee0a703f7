"""The router at a glance: what routes, how well, what has changed since, and what it makes of a text."""

from typing import Any

from django.http import HttpResponse
from django.shortcuts import render

from apps.resilience.errors import DomainError
from apps.routing import selectors, services
from apps.routing.changes import count_changes
from apps.routing.contracts import ESCALATION_CONFIDENCE, TrainingStatus
from apps.routing.forms import TryForm
from apps.routing.services.training import MIN_EXAMPLES_PER_INTENT
from apps.tenants.dashboard import MemberRequest, add_errors, member_page

READ, WRITE = "read:router", "write:router"


@member_page(read=READ)
def show_router(request: MemberRequest) -> HttpResponse:
    """Show what routes and its versions; for htmx, only what becomes of a text."""
    tried = _try(request)
    status = 422 if tried["form"].errors else 200
    if request.htmx:
        return render(request, "routing/_try.html", tried, status=status)
    versions = selectors.list_versions(tenant=request.tenant)
    intents = selectors.list_intents(tenant=request.tenant)
    last = selectors.find_last_candidate(tenant=request.tenant)
    context = {
        "versions": versions,
        "active": next((model for model in versions if model.is_active), None),
        "figures": selectors.get_figures(tenant=request.tenant),
        "intents": intents or selectors.list_shipped_intents(),
        "examples": sum(i.examples for i in intents or selectors.list_shipped_intents()),
        "changes": count_changes(tenant=request.tenant),
        "poor": [intent for intent in intents if intent.examples < MIN_EXAMPLES_PER_INTENT],
        "least": MIN_EXAMPLES_PER_INTENT,
        "candidate": last if last and (last.is_working or last.status == TrainingStatus.READY) else None,
        "failed": last if last and last.status == TrainingStatus.FAILED else None,
        "may_write": request.principal.may(WRITE),
    }
    return render(request, "routing/router.html", context | tried, status=status)


def _try(request: MemberRequest) -> dict[str, Any]:
    form = TryForm(request.GET if "text" in request.GET else None)
    tried: dict[str, Any] = {"form": form, "bar": ESCALATION_CONFIDENCE}
    if form.is_valid():
        try:
            tried["decision"] = services.preview_route(
                tenant=request.tenant, text=form.cleaned_data["text"], channel="widget"
            )
        except DomainError as error:
            add_errors(form, error)
    return tried
