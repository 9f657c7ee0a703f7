"""Runs: the list, and the timeline of one: what was done, undone, is stuck or unknown."""

from dataclasses import replace
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import redirect, render

from apps.orchestration import mailbox, selectors, services
from apps.orchestration.bulk.selectors import list_running_bulks
from apps.orchestration.contracts import RunStatus, RunView, StepStatus
from apps.orchestration.definitions.contracts import step_id_of
from apps.orchestration.definitions.selectors import get_definition
from apps.orchestration.forms import ACTIONS, ApprovalForm, OutcomeForm, ReasonForm, RunFilter
from apps.orchestration.masking import SEES_ALL, show_to
from apps.orchestration.models import AgentRun
from apps.orchestration.pages.graph import draw, light
from apps.orchestration.timeline import read_timeline
from apps.resilience.errors import InvalidInput
from apps.tenants.context import in_tenant
from apps.tenants.dashboard import MemberRequest, member_page, notify
from apps.tenants.paging import paginate


@member_page(read="read:runs")
def show_runs(request: MemberRequest) -> HttpResponse:
    """List runs, newest first."""
    form = RunFilter(request.GET)
    rows = _filtered(form.cleaned_data) if form.is_valid() else AgentRun.objects.none()
    page = paginate(
        rows.defer("input", "output"), request.GET.get("cursor", ""), by="-created_at", then="-id"
    )
    context = {
        "form": form,
        "page": page,
        "is_filtered": any(request.GET.get(name) for name in form.fields),
        "may_steer": request.principal.may("write:runs"),
        "actions": ACTIONS,
        "operations": list_running_bulks(tenant=request.tenant),
    }
    return render(request, "orchestration/runs.html", context, status=422 if form.errors else 200)


@member_page(read="read:runs")
def show_run(request: MemberRequest, run_id: UUID) -> HttpResponse:
    """Show a run's steps and events, with personal data masked where it is not for the member's eyes."""
    run = _shown(request, selectors.get_run(tenant=request.tenant, run_id=run_id))
    definition = get_definition(tenant=request.tenant, digest=run.hash)
    may_write = request.principal.may("write:runs")
    is_masked = not request.principal.may(SEES_ALL)
    context = {
        "run": run,
        "graph": draw(definition, light(run.steps)),
        "events": selectors.list_run_events(tenant=request.tenant, run_id=run_id) if run.has_history else [],
        "unknown": [step for step in run.steps if step.state is StepStatus.UNKNOWN],
        "stuck": [step for step in run.steps if step.state is StepStatus.STUCK],
        "waiting": [step for step in run.steps if step.awaited],
        "is_moving": not (run.status.is_end or run.status is RunStatus.PAUSED or _is_asked(run)),
        "may_write": may_write,
        "timeline": read_timeline(tenant=request.tenant, run_id=run_id, is_masked=is_masked),
        "offered": _offered(run) if may_write else [],
        "replays": selectors.list_runs(tenant=request.tenant, replay_of=run_id, limit=20),
    }
    template = "orchestration/_run.html" if request.htmx else "orchestration/run.html"
    return render(request, template, context)


@member_page(read="write:runs", write="write:runs")
def undo_run(request: MemberRequest, run_id: UUID, action: str) -> HttpResponse:
    """Tell what cancelling or compensating a run would undo, ask why, and do it."""
    form = ReasonForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        steer = services.cancel_run if action == "cancel" else services.compensate_run
        steer(tenant=request.tenant, run_id=run_id, actor=request.user.email, **form.cleaned_data)
        notify(request, SAID[action])
        return redirect("run", run_id)
    with in_tenant(request.tenant):
        run = selectors.get_run(tenant=request.tenant, run_id=run_id)
        definition = get_definition(tenant=request.tenant, digest=run.hash)
    context = {
        "run": run,
        "form": form,
        "action": action,
        "is_possible": action in _offered(run),
        "undone": [(path, definition.compensation[step_id_of(path)].action) for path in run.undoable],
        "kept": [s.id for s in run.steps if s.state is StepStatus.DONE and s.id not in run.undoable],
    }
    return render(request, "orchestration/undo.html", context, status=422 if form.errors else 200)


@member_page(write="write:runs", post_only=True)
def retry(request: MemberRequest, run_id: UUID) -> HttpResponse:
    """Let a failed run, or an undoing that is stuck, go on."""
    services.retry_run(tenant=request.tenant, run_id=run_id, actor=request.user.email)
    notify(request, SAID["retry"])
    return redirect("run", run_id)


@member_page(write="write:runs", post_only=True)
def resolve(request: MemberRequest, run_id: UUID) -> HttpResponse:
    """Take a person's word on a step whose outcome was lost, or whose undoing is stuck."""
    selectors.get_run(
        tenant=request.tenant, run_id=run_id
    )  # somebody else's run is not found, whatever is sent
    form = OutcomeForm(request.POST)
    if not form.is_valid():
        raise InvalidInput({name: [str(error) for error in errors] for name, errors in form.errors.items()})
    step, outcome, actor = form.cleaned_data["step"], form.cleaned_data["outcome"], request.user.email
    if outcome == "undone":
        services.settle_undo(tenant=request.tenant, run_id=run_id, step_id=step, actor=actor)
    else:
        is_done = outcome == "done"
        services.resolve_step(
            tenant=request.tenant, run_id=run_id, step_id=step, is_done=is_done, actor=actor
        )
    notify(request, SAID["resolve"])
    return redirect("run", run_id)


@member_page(write="write:runs", post_only=True)
def approve(request: MemberRequest, run_id: UUID) -> HttpResponse:
    """Approve or decline what a run asks for; it goes on either way."""
    selectors.get_run(tenant=request.tenant, run_id=run_id)
    form = ApprovalForm(request.POST)
    if not form.is_valid():
        raise InvalidInput({name: [str(error) for error in errors] for name, errors in form.errors.items()})
    is_approved = form.cleaned_data["answer"] == "approve"
    mailbox.answer_approval(
        tenant=request.tenant,
        run_id=run_id,
        step_id=form.cleaned_data["step"],
        is_approved=is_approved,
        comment=form.cleaned_data["comment"],
        actor=request.user.email,
    )
    notify(request, SAID["approve" if is_approved else "decline"])
    return redirect("run", run_id)


SAID = {
    "approve": "Approved; the run goes on.",
    "decline": "Declined; the run goes on with that.",
    "retry": "The run goes on.",
    "cancel": "The run stops, and what it has done is undone where that is declared.",
    "compensate": "The run is being undone, the last step first.",
    "resolve": "Noted; the run goes on from there.",
}


def _shown(request: MemberRequest, run: RunView) -> RunView:
    """Return a run as the member may see it."""

    def shown(value: Any) -> Any:
        return show_to(request.principal, value)

    steps = [replace(step, awaited=shown(step.awaited), error=shown(step.error)) for step in run.steps]
    told = {name: shown(getattr(run, name)) for name in ("input", "output", "error")}
    return replace(run, steps=steps, **told)


def _is_asked(run: RunView) -> bool:
    """Tell whether a person is to answer: the page must not be drawn anew while they write."""
    return any(step.awaited and step.awaited["kind"] == "approval" for step in run.steps)


def _offered(run: RunView) -> list[str]:
    """Return what a member may ask of a run in this state."""
    match run.status:
        case RunStatus.FAILED | RunStatus.COMPENSATION_FAILED:
            return ["retry"]
        case RunStatus.RUNNING | RunStatus.SLEEPING if not run.is_cancelling:
            return ["cancel"] if run.is_pausing else ["pause", "cancel"]
        case RunStatus.COMPENSATING:
            return [] if run.is_pausing else ["pause"]
        case RunStatus.PAUSED:
            return ["resume"] if run.is_cancelling else ["resume", "cancel"]
        case RunStatus.COMPLETED if run.undoable:
            return ["compensate"]
    return []


def _filtered(given: dict[str, str]) -> QuerySet[AgentRun]:
    return selectors.filter_runs(status=given["status"] or None, workflow=given["workflow"] or None)
