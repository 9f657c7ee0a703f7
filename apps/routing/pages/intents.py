"""Intents and their examples: add, change, move, delete with undo."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from apps.resilience.errors import DomainError
from apps.routing import selectors, services
from apps.routing.contracts import IntentView
from apps.routing.forms import DescriptionForm, ExampleFilter, ExampleForm, ExamplesForm, IntentForm
from apps.routing.models import IntentExample
from apps.routing.services.training import MIN_EXAMPLES_PER_INTENT
from apps.tenants.context import in_tenant
from apps.tenants.dashboard import MemberRequest, add_errors, member_page, notify
from apps.tenants.paging import paginate

READ, WRITE = "read:router", "write:router"
DELETED = "router_example_deleted"


@member_page(read=READ, write=WRITE)
def show_intents(request: MemberRequest) -> HttpResponse:
    """List the intents, and add one."""
    form = IntentForm(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        try:
            intent = services.create_intent(tenant=request.tenant, **form.cleaned_data)
        except DomainError as error:
            add_errors(form, error)
        else:
            notify(request, f"{intent.name} is there. It routes after the next training.")
            return redirect("router_intent", intent.name)
    with in_tenant(request.tenant):
        own = selectors.list_intents(tenant=request.tenant)
        figures = selectors.get_figures(tenant=request.tenant)
    known = figures.by_intent if figures else {}
    context = {
        "rows": [(intent, *_figures_of(intent, known)) for intent in own or selectors.list_shipped_intents()],
        "is_shipped": not own,
        "least": MIN_EXAMPLES_PER_INTENT,
        "form": form,
        "may_write": request.principal.may(WRITE),
    }
    return render(request, "routing/intents.html", context, status=422 if form.errors else 200)


@member_page(write=WRITE, post_only=True)
def adopt_intents(request: MemberRequest) -> HttpResponse:
    """Copy the shipped intents, so that each example can be changed."""
    services.seed_default_intents(tenant=request.tenant)
    notify(request, "The shipped intents and examples are yours to change now.")
    return redirect("router_intents")


@member_page(read=READ, write=WRITE)
def show_intent(request: MemberRequest, name: str) -> HttpResponse:
    """Show an intent's examples, and add some."""
    with in_tenant(request.tenant):
        intent = selectors.get_intent(tenant=request.tenant, name=name)
    form = ExamplesForm(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        try:
            added = services.add_examples(tenant=request.tenant, intent=name, texts=form.lines())
        except DomainError as error:
            add_errors(form, error)
        else:
            notify(request, f"{added} example{'s' if added > 1 else ''} added. Train to let them count.")
            return redirect("router_intent", name)
    with in_tenant(request.tenant):
        context = {"intent": intent, "form": form, **_examples(request, intent)}
    return render(request, "routing/intent.html", context, status=422 if form.errors else 200)


@member_page(read=WRITE, write=WRITE)
def edit_intent(request: MemberRequest, name: str) -> HttpResponse:
    """Say anew what an intent is."""
    with in_tenant(request.tenant):
        intent = selectors.get_intent(tenant=request.tenant, name=name)
    form = DescriptionForm(
        request.POST if request.method == "POST" else None, initial={"description": intent.description}
    )
    if form.is_bound and form.is_valid():
        services.update_intent(tenant=request.tenant, name=name, **form.cleaned_data)
        notify(request, f"{name} was changed.")
        return redirect("router_intent", name)
    context = {"intent": intent, "form": form}
    return render(request, "routing/edit_intent.html", context, status=422 if form.errors else 200)


@member_page(write=WRITE, post_only=True)
def remove_intent(request: MemberRequest, name: str) -> HttpResponse:
    """Delete an intent with its examples."""
    services.delete_intent(tenant=request.tenant, name=name)
    notify(request, f"{name} was deleted. What is trained still knows it; train to let it go.")
    return redirect("router_intents")


@member_page(read=WRITE, write=WRITE)
def edit_example(request: MemberRequest, example_id: UUID) -> HttpResponse:
    """Change an example, or move it to another intent."""
    with in_tenant(request.tenant):
        example = selectors.get_example(tenant=request.tenant, example_id=example_id)
        names = services.list_intent_names(tenant=request.tenant)
    form = ExampleForm(
        request.POST if request.method == "POST" else None,
        initial={"text": example.text, "intent": example.intent},
        intents=names,
    )
    if form.is_bound and form.is_valid():
        try:
            changed = services.update_example(
                tenant=request.tenant, example_id=example_id, **form.cleaned_data
            )
        except DomainError as error:
            add_errors(form, error)
        else:
            notify(request, f"Saved as an example of {changed.intent}. Train to let it count.")
            return redirect("router_intent", changed.intent)
    context = {"example": example, "form": form}
    return render(request, "routing/example.html", context, status=422 if form.errors else 200)


@member_page(write=WRITE, post_only=True)
def remove_example(request: MemberRequest, example_id: UUID) -> HttpResponse:
    """Delete an example, and remember it for an undo."""
    gone = services.delete_example(tenant=request.tenant, example_id=example_id)
    request.session[DELETED] = {
        "tenant": str(request.tenant.id),
        "intent": gone.intent,
        "text": gone.text,
        "origin": gone.origin.value,
    }
    shown = gone.text if len(gone.text) <= 60 else f"{gone.text[:59]}…"
    notify(request, f"“{shown}” was deleted.", undo_url=reverse("router_restore_example"))
    return redirect("router_intent", gone.intent)


@member_page(write=WRITE, post_only=True)
def restore(request: MemberRequest) -> HttpResponse:
    """Bring the example back that was deleted last."""
    gone = request.session.pop(DELETED, None)
    if not gone or gone.pop("tenant") != str(request.tenant.id):
        return redirect("router_intents")
    services.restore_example(tenant=request.tenant, **gone)
    notify(request, "The example is back.")
    return redirect("router_intent", gone["intent"])


def _figures_of(intent: IntentView, known: Any) -> tuple[float | None, int]:
    """Return the share of the held-out examples that are recognised, and of how many."""
    right, of = known.get(intent.name, (0, 0))
    return (right / of if of else None), of


def _examples(request: MemberRequest, intent: IntentView) -> dict[str, Any]:
    filters = ExampleFilter(request.GET)
    own = IntentExample.objects.filter(intent__name=intent.name)
    rows = _filtered(own, filters) if filters.is_valid() else own.none()
    is_shipped = not selectors.list_intents(tenant=request.tenant)
    return {
        "filters": filters,
        "page": paginate(rows, request.GET.get("cursor", "")),
        "is_filtered": bool(request.GET.get("q") or request.GET.get("origin")),
        "shipped": services.default_intents()[intent.name][1] if is_shipped else (),
        "is_shipped": is_shipped,
        "least": MIN_EXAMPLES_PER_INTENT,
        "may_write": request.principal.may(WRITE),
    }


def _filtered(rows: QuerySet[IntentExample], filters: ExampleFilter) -> QuerySet[IntentExample]:
    given = filters.cleaned_data
    if given["q"]:
        rows = rows.filter(text__icontains=given["q"])
    return rows.filter(origin=given["origin"]) if given["origin"] else rows
