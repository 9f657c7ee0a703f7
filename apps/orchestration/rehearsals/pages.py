"""Rehearsals as members use them: try a draft, simulate it, look at what changes, publish it."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any
from uuid import UUID, uuid4

from django import forms
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import path

from apps.orchestration.definitions.errors import InvalidWorkflowSource
from apps.orchestration.definitions.selectors import get_workflow
from apps.orchestration.rehearsals import gate, rules, selectors, services
from apps.orchestration.rehearsals.contracts import Against, Estimate, GateRules, RehearsalView, Selection
from apps.orchestration.rehearsals.forms import CaseFilter, GateForm, SelectionForm, make_try_form
from apps.orchestration.rehearsals.models import RehearsalCase
from apps.orchestration.rehearsals.words import mark_words
from apps.resilience.errors import DomainError, InvalidInput
from apps.tenants.dashboard import MemberRequest, add_errors, member_page, notify
from apps.tenants.paging import Page, paginate

READ, WRITE, CONTENTS, GATES = "read:workflows", "write:workflows", "write:runs", "write:gates"
PAGE_SIZE = 25


@member_page(write=WRITE, post_only=True)
def try_draft(request: MemberRequest, name: str) -> HttpResponse:
    """Run what is written in the editor, or else the draft, without any effect."""
    workflow = get_workflow(tenant=request.tenant, name=name)
    version = workflow.draft or workflow.published
    written = request.POST.get("source", "").replace("\r\n", "\n").replace("\x00", "")
    source = written or (version.source if version else "")
    form = make_try_form(request.tenant, source, request.POST)
    context: dict[str, Any] = {"name": name, "form": form}
    if form.is_valid():
        try:
            context["case"] = services.dry_run(
                tenant=request.tenant, name=name, given=form.given, source=source, actor=request.user.email
            )
        except InvalidWorkflowSource as error:
            context["problems"] = error.problems
        except InvalidInput as error:
            _add_input_errors(form, error)
    template = "orchestration/_dry_run.html" if request.htmx else "orchestration/dry_run.html"
    is_wrong = form.errors or "problems" in context
    return render(request, template, context, status=422 if is_wrong else 200)


@member_page(read=READ)
def show_publishing(request: MemberRequest, name: str) -> HttpResponse:
    """Show what publishing the draft means: the gate, the runs under way, the simulations so far."""
    workflow = get_workflow(tenant=request.tenant, name=name)
    under_way = selectors.count_under_way(tenant=request.tenant, workflow=name)
    simulations = paginate(
        selectors.query_simulations(workflow=name), request.GET.get("cursor", ""), size=PAGE_SIZE
    )
    context = {
        "name": name,
        "workflow": workflow,
        "gate": gate.get_gate_state(tenant=request.tenant, workflow=name),
        "under_way": under_way,
        "runs": sum(row["runs"] for row in under_way),
        "page": simulations,
        "may_write": request.principal.may(WRITE),
        "may_override": request.principal.may(GATES),
        "may_read_runs": request.principal.may("read:runs"),
    }
    return render(request, "orchestration/publishing.html", context)


@member_page(read=WRITE, write=WRITE)
def simulate(request: MemberRequest, name: str) -> HttpResponse:
    """Choose recorded runs, see what simulating them would take, and begin."""
    workflow = get_workflow(tenant=request.tenant, name=name)
    given = request.POST if request.method == "POST" else request.GET
    form = SelectionForm(given if "last" in given else None)
    estimate: Estimate | None = None
    if form.is_valid():
        selection, against = _selection(form.cleaned_data)
        try:
            if request.method == "POST":
                return _begin(request, name, selection, against)
            estimate = selectors.estimate_simulation(
                tenant=request.tenant, workflow=name, selection=selection, against=against
            )
        except DomainError as error:
            if error.status == 404:
                raise
            add_errors(form, error)
    context = {
        "name": name,
        "workflow": workflow,
        "form": form,
        "estimate": estimate,
        "chosen": [(field, form.data.get(field, "")) for field in form.fields] if estimate else [],
        "key": uuid4().hex,
    }
    return render(request, "orchestration/simulate.html", context, status=422 if form.errors else 200)


@member_page(read="read:runs")
def show_simulation(request: MemberRequest, rehearsal_id: UUID) -> HttpResponse:
    """Show how far a simulation is, what it has shown, and the cases, the changed ones first."""
    shown = selectors.get_rehearsal(tenant=request.tenant, rehearsal_id=rehearsal_id)
    form = CaseFilter(request.GET)
    change = form.cleaned_data["change"] if form.is_valid() else ""
    cases = selectors.query_cases(rehearsal_id=rehearsal_id, change=change)
    page: Page[RehearsalCase] = paginate(
        cases, request.GET.get("cursor", ""), by="-rank", then="-id", size=PAGE_SIZE
    )
    context = {
        "shown": shown,
        "figures": _figures(shown),
        "form": form,
        "page": page,
        "cases": [case.view() for case in page.items],
        "is_filtered": bool(change),
        "may_write": request.principal.may(WRITE),
        "may_see_contents": request.principal.may(CONTENTS),
    }
    template = "orchestration/_simulation.html" if request.htmx else "orchestration/simulation.html"
    return render(request, template, context, status=422 if form.errors else 200)


@member_page(read=CONTENTS)
def show_case(request: MemberRequest, rehearsal_id: UUID, number: int) -> HttpResponse:
    """Show both outcomes of a case side by side."""
    shown = selectors.get_rehearsal(tenant=request.tenant, rehearsal_id=rehearsal_id)
    case = selectors.get_case(tenant=request.tenant, rehearsal_id=rehearsal_id, number=number)
    before, after = mark_words(case.before.text if case.before else "", case.after.text if case.after else "")
    context = {"shown": shown, "case": case, "before": before, "after": after}
    return render(request, "orchestration/case.html", context)


@member_page(write=WRITE, post_only=True)
def cancel(request: MemberRequest, rehearsal_id: UUID) -> HttpResponse:
    """Stop a simulation."""
    services.cancel_simulation(tenant=request.tenant, rehearsal_id=rehearsal_id, actor=request.user.email)
    notify(request, "The simulation is stopped; what it has shown so far stays.")
    return redirect("simulation", rehearsal_id)


@member_page(read=READ, write=GATES)
def edit_gate(request: MemberRequest, name: str = "") -> HttpResponse:
    """Say what a draft has to show before it is published: of one workflow, or by default of all."""
    if name:
        get_workflow(tenant=request.tenant, name=name)
    present = gate.get_rules(tenant=request.tenant, workflow=name)
    initial = dataclasses.asdict(present)
    form = GateForm(request.POST if request.method == "POST" else None, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            asked = GateRules(workflow=name, **form.cleaned_data)
            rules.set_gate(tenant=request.tenant, rules=asked, actor=request.user.email)
        except InvalidInput as error:
            add_errors(form, error)
        else:
            notify(request, "The gate is set.")
            return redirect("workflow_publishing", name) if name else redirect("default_gate")
    context = {"name": name, "form": form, "is_own": bool(name) and present.workflow == name}
    return render(request, "orchestration/gate.html", context, status=422 if form.errors else 200)


@member_page(write=GATES, post_only=True)
def remove_gate(request: MemberRequest, name: str) -> HttpResponse:
    """Let the company's default hold for a workflow again."""
    get_workflow(tenant=request.tenant, name=name)
    rules.remove_gate(tenant=request.tenant, workflow=name, actor=request.user.email)
    notify(request, "The company's default holds for this workflow.")
    return redirect("workflow_publishing", name)


def _begin(request: MemberRequest, name: str, selection: Selection, against: Against) -> HttpResponse:
    key = request.POST.get("key", "")
    is_key = len(key) == 32 and all(c in "0123456789abcdef" for c in key)
    begun = services.start_simulation(
        tenant=request.tenant,
        name=name,
        selection=selection,
        against=against,
        rehearsal_id=UUID(key) if is_key else None,
        actor=request.user.email,
    )
    return redirect("simulation", begun.id)


def _selection(given: dict[str, Any]) -> tuple[Selection, Against]:
    selection = Selection(
        last=given["last"],
        since=_midnight(given["since"]),
        until=_midnight(given["until"]),
        intent=given["intent"],
        only_escalated=given["only_escalated"],
    )
    return selection, Against(given["against"])


def _midnight(day: dt.date | None) -> dt.datetime | None:
    return dt.datetime.combine(day, dt.time(), tzinfo=dt.UTC) if day else None


def _add_input_errors(form: forms.Form, error: InvalidInput) -> None:
    """Put what the engine says about an input at its field."""
    for name, texts in error.errors.items():
        bare = name.removeprefix("input.")
        field = next((f for f in (bare, f"input_{bare}") if f in form.fields), None)
        for text in texts:
            form.add_error(field, text)


def _figures(shown: RehearsalView) -> list[tuple[str, str, str]]:
    """Return what a simulation has shown: label, figure, and whether it is good or bad news."""
    found = shown.summary
    escalations = found.more_escalations - found.fewer_escalations
    failures = found.new_failures + found.failed
    return [
        ("Same answer", f"{found.same_answers_percent:g} %", ""),
        ("Another route", f"{found.changed_routes} ({found.changed_routes_percent:g} %)", ""),
        ("New failures", str(failures), "bad" if failures else "good"),
        ("Failed before, not now", str(found.mended), "good" if found.mended else ""),
        ("Escalations", f"{escalations:+d}" if escalations else "as before", ""),
        ("Other calls", str(found.changed_calls), ""),
        ("Cost of the answers", f"{found.cost_increase_percent:+g} %", ""),
        ("Tokens", f"{found.tokens_before} → {found.tokens_after}", ""),
        ("Time without effects", f"{found.duration_before_ms} → {found.duration_after_ms} ms", ""),
    ]


urlpatterns = [
    path("workflows/gate/", edit_gate, name="default_gate"),
    path("workflows/w/<str:name>/try/", try_draft, name="workflow_try"),
    path("workflows/w/<str:name>/publishing/", show_publishing, name="workflow_publishing"),
    path("workflows/w/<str:name>/simulate/", simulate, name="workflow_simulate"),
    path("workflows/w/<str:name>/gate/", edit_gate, name="workflow_gate"),
    path("workflows/w/<str:name>/gate/remove/", remove_gate, name="workflow_gate_remove"),
    path("simulations/<uuid:rehearsal_id>/", show_simulation, name="simulation"),
    path("simulations/<uuid:rehearsal_id>/cancel/", cancel, name="simulation_cancel"),
    path("simulations/<uuid:rehearsal_id>/cases/<int:number>/", show_case, name="simulation_case"),
]
