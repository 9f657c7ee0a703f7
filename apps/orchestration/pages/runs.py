"""Runs: the list, and the timeline of one: what was done, undone, is stuck or unknown."""

from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import redirect, render

from apps.orchestration import selectors, services
from apps.orchestration.contracts import RunStatus, RunView, StepStatus
from apps.orchestration.definitions.selectors import get_definition
from apps.orchestration.forms import OutcomeForm, RunFilter
from apps.orchestration.models import AgentRun
from apps.orchestration.pages.graph import draw
from apps.resilience.errors import InvalidInput, NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.dashboard import MemberRequest, member_page, notify
from apps.tenants.paging import paginate
from apps.tenants.services import record_audit

RETRIABLE = (RunStatus.FAILED, RunStatus.COMPENSATION_FAILED)


@member_page(read="read:runs")
def show_runs(request: MemberRequest) -> HttpResponse:
    """List runs, newest first."""
    form = RunFilter(request.GET)
    rows = _filtered(form.cleaned_data) if form.is_valid() else AgentRun.objects.none()
    page = paginate(
        rows.defer("input", "output"), request.GET.get("cursor", ""), by="-created_at", then="-id"
    )
    context = {"form": form, "page": page, "is_filtered": any(request.GET.get(n) for n in form.fields)}
    return render(request, "orchestration/runs.html", context, status=422 if form.errors else 200)


@member_page(read="read:runs")
def show_run(request: MemberRequest, run_id: UUID) -> HttpResponse:
    """Show a run's steps and events; contents only to those who may act on runs."""
    run = selectors.get_run(tenant=request.tenant, run_id=run_id)
    definition = get_definition(tenant=request.tenant, digest=run.hash)
    may_write = request.principal.may("write:runs")
    context = {
        "run": run,
        "graph": draw(definition, {step.id: step.state.value for step in run.steps}),
        "events": selectors.list_run_events(tenant=request.tenant, run_id=run_id),
        "unknown": [step for step in run.steps if step.state is StepStatus.UNKNOWN],
        "is_moving": not run.status.is_end,
        "may_write": may_write,
        "may_see_contents": may_write,
        "actions": _actions(run) if may_write else [],
    }
    template = "orchestration/_run.html" if request.htmx else "orchestration/run.html"
    return render(request, template, context)


@member_page(write="write:runs", post_only=True)
def act(request: MemberRequest, run_id: UUID, action: str) -> HttpResponse:
    """Retry or cancel a run, or say how a step with a lost outcome ended."""
    tenant, actor = request.tenant, request.user.email
    selectors.get_run(tenant=tenant, run_id=run_id)
    with in_tenant(tenant):
        match action:
            case "retry":
                services.retry_run(tenant=tenant, run_id=run_id, actor=actor)
            case "cancel":
                services.cancel_run(tenant=tenant, run_id=run_id, actor=actor)
            case "resolve":
                _resolve(request, run_id)
            case _:
                raise NotFoundError("There is no such action.")
        record_audit(tenant=tenant, actor=actor, action=f"run.{action}", target=str(run_id))
    notify(request, SAID[action])
    return redirect("run", run_id)


SAID = {
    "retry": "The run goes on.",
    "cancel": "The run stops, and what it has done is undone where that is declared.",
    "resolve": "Noted; the run goes on from there.",
}


def _resolve(request: MemberRequest, run_id: UUID) -> None:
    form = OutcomeForm(request.POST)
    if not form.is_valid():
        raise InvalidInput({name: [str(error) for error in errors] for name, errors in form.errors.items()})
    services.resolve_step(
        tenant=request.tenant,
        run_id=run_id,
        step_id=form.cleaned_data["step"],
        is_done=form.cleaned_data["outcome"] == "done",
        actor=request.user.email,
    )


def _actions(run: RunView) -> list[tuple[str, str, str]]:
    actions = []
    if run.status in RETRIABLE:
        actions.append(("retry", "Retry", ""))
    if run.status in (RunStatus.RUNNING,) and not run.is_cancelling:
        actions.append(("cancel", "Cancel and undo", "Stop this run and undo what it has done?"))
    return actions


def _filtered(given: dict[str, str]) -> QuerySet[AgentRun]:
    return selectors.filter_runs(status=given["status"] or None, workflow=given["workflow"] or None)
