"""Workflows: written as YAML, checked line by line, published, compared and rolled back."""

import difflib
from typing import Any

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from apps.orchestration.definitions import selectors, services
from apps.orchestration.definitions.contracts import Problem, VersionState, VersionView, WorkflowView
from apps.orchestration.definitions.errors import InvalidWorkflowSource
from apps.orchestration.definitions.language.compiler import InvalidWorkflow
from apps.orchestration.forms import SourceForm
from apps.orchestration.pages.graph import Graph, draw
from apps.orchestration.rehearsals.contracts import GateNotPassed
from apps.orchestration.rehearsals.forms import make_try_form
from apps.orchestration.scheduling import list_next_moments, list_schedules
from apps.resilience.errors import ConflictError, InvalidInput
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.dashboard import MemberRequest, member_page, notify
from apps.tenants.permissions import require

TEMPLATE = """name: "new_workflow"
version: "1.0"
description: "Answer from the knowledge"

triggers:
  - type: "api"

steps:
  - id: "find"
    type: "tool"
    tool: "faq_search"

  - id: "reply"
    type: "llm"
"""


@member_page(read="read:workflows")
def show_workflows(request: MemberRequest) -> HttpResponse:
    """List the workflows."""
    context = {
        "workflows": selectors.list_workflows(tenant=request.tenant),
        "may_write": request.principal.may("write:workflows"),
    }
    return render(request, "orchestration/workflows.html", context)


@member_page(read="write:workflows", write="write:workflows")
def new_workflow(request: MemberRequest) -> HttpResponse:
    """Write a workflow that is not there yet."""
    return _edit(request, None, TEMPLATE, "")


@member_page(read="read:workflows", write="write:workflows")
def edit_workflow(request: MemberRequest, name: str) -> HttpResponse:
    """Show a workflow's draft, or what is published, and save a draft."""
    workflow = selectors.get_workflow(tenant=request.tenant, name=name)
    version = workflow.draft or workflow.published
    return _edit(request, name, version.source if version else TEMPLATE, version.hash if version else "")


@member_page(write="write:workflows", post_only=True)
def check_source(request: MemberRequest) -> HttpResponse:
    """Tell what is wrong with a source that is being written."""
    form = SourceForm(request.POST)
    if not form.is_valid():
        raise InvalidInput({"source": [str(error) for error in form.errors.get("source", ["Too long."])]})
    source = form.cleaned_data["source"]
    problems, graph = _check(request.tenant, source)
    context = {"problems": problems, "graph": graph}
    return render(request, "orchestration/_check.html", context)


@member_page(read="read:workflows")
def show_versions(request: MemberRequest, name: str) -> HttpResponse:
    """List a workflow's versions, and compare two of them."""
    versions = selectors.list_versions(tenant=request.tenant, name=name)
    newer = _chosen(versions, request.GET.get("to", "")) or versions[0]
    older = _chosen(versions, request.GET.get("from", "")) or _before(versions, newer)
    context = {
        "name": name,
        "versions": versions,
        "newer": newer,
        "older": older,
        "diff": _diff(older.source if older else "", newer.source),
        "may_write": request.principal.may("write:workflows"),
    }
    return render(request, "orchestration/versions.html", context)


@member_page(write="write:workflows", post_only=True)
def publish(request: MemberRequest, name: str) -> HttpResponse:
    """Publish the draft, or the version whose number is given; the former one can be published again."""
    before = selectors.get_workflow(tenant=request.tenant, name=name).published
    number = {**request.GET.dict(), **request.POST.dict()}.get("number", "")
    wanted = int(number) if number.isascii() and number.isdigit() and len(number) < 9 else None
    override_reason = request.POST.get("override_reason", "").replace("\x00", "").strip()[:500]
    if override_reason:
        require(request.principal, "write:gates")
    try:
        version = services.publish_workflow(
            tenant=request.tenant, name=name, number=wanted, override_reason=override_reason
        )
    except GateNotPassed as error:
        notify(request, error.detail)
        return redirect("workflow_publishing", name)
    except InvalidWorkflowSource:
        notify(request, "The draft has problems; mend them before you publish it.")
        return redirect("workflow", name)
    again = f"{reverse('workflow_publish', args=[name])}?number={before.number}" if before else ""
    notify(request, f"Version {version.number} is published: new runs begin with it.", undo_url=again)
    return redirect("workflow_versions", name)


def _edit(request: MemberRequest, name: str | None, source: str, base: str) -> HttpResponse:
    initial = {"source": source, "base": base}
    form = SourceForm(request.POST if request.method == "POST" else None, initial=initial)
    problems: list[Problem] = []
    if request.method == "POST" and form.is_valid():
        try:
            saved = _save(request.tenant, name, form.cleaned_data)
        except InvalidWorkflowSource as error:
            problems = error.problems
            form.add_error("source", f"Not saved: {error.detail}")
        except ConflictError as error:
            form.add_error(None, error.detail)
        else:
            return _saved(request, saved)
    shown = form.data.get("source", source) if form.is_bound else source
    workflow = selectors.get_workflow(tenant=request.tenant, name=name) if name else None
    found, graph = _check(request.tenant, shown)
    context: dict[str, Any] = {
        "form": form,
        "name": name,
        "starts": _starts(request.tenant, workflow) if workflow else [],
        "problems": problems or found,
        "graph": graph,
        "workflow": workflow,
        "try_form": make_try_form(request.tenant, shown) if name else None,
    }
    return render(request, "orchestration/workflow.html", context, status=422 if form.errors else 200)


def _starts(tenant: TenantRef, workflow: WorkflowView) -> list[dict[str, Any]]:
    """Return what starts the published version, with a schedule's next moments and its last trouble."""
    is_scheduled = any(trigger.schedule for trigger in workflow.triggers)
    known = list_schedules(tenant=tenant, workflow_name=workflow.name) if is_scheduled else {}
    return [
        {"trigger": t, "moments": list_next_moments(t), "row": known.get(t.schedule)}
        for t in workflow.triggers
    ]


def _save(tenant: TenantRef, name: str | None, given: dict[str, str]) -> VersionView:
    source = given["source"].replace("\r\n", "\n")
    if name is None:
        return services.save_draft(tenant=tenant, source=source)
    with in_tenant(tenant):
        present = selectors.get_workflow(tenant=tenant, name=name)
        version = present.draft or present.published
        if version is not None and given["base"] and version.hash != given["base"]:
            raise ConflictError(
                "Somebody has saved this workflow since you opened it. Your text is below, unsaved: "
                "copy it, open the workflow anew, and put the two together."
            )
        return services.save_draft(tenant=tenant, source=source, name=name)


def _saved(request: MemberRequest, version: VersionView) -> HttpResponse:
    problems = services.validate_workflow(tenant=request.tenant, source=version.source)
    rest = f" It has {len(problems)} problems and cannot be published yet." if problems else ""
    notify(request, f"The draft is saved as version {version.number}.{rest}")
    return redirect("workflow", version.workflow)


def _check(tenant: TenantRef, source: str) -> tuple[list[Problem], Graph | None]:
    """Return what is wrong with a source, or its drawing."""
    try:
        return [], draw(services.preview_workflow(tenant=tenant, source=source))
    except InvalidWorkflow as error:
        return error.problems, None


def _chosen(versions: list[VersionView], number: str) -> VersionView | None:
    return next((version for version in versions if str(version.number) == number), None)


def _before(versions: list[VersionView], newer: VersionView) -> VersionView | None:
    """Return what a version is compared with: what is published, else its predecessor."""
    published = next((v for v in versions if v.state is VersionState.PUBLISHED), None)
    if published is not None and published.number != newer.number:
        return published
    return next((version for version in versions if version.number < newer.number), None)


def _diff(older: str, newer: str) -> list[tuple[str, str]]:
    """Return (sign, line): + added, - removed, @ a jump, else unchanged."""
    lines = difflib.unified_diff(older.splitlines(), newer.splitlines(), lineterm="", n=3)
    return [(line[:1] if line[:1] in "+-@" else " ", line[1:]) for line in list(lines)[2:]]
