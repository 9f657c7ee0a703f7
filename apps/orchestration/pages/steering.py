"""What a member asks of a run: rest, go on, be done again or undone from a step on."""

from typing import Any
from uuid import UUID, uuid4, uuid5

from django.http import HttpResponse
from django.shortcuts import redirect, render

from apps.orchestration import pausing, replaying, rewinding, selectors
from apps.orchestration.definitions.selectors import get_definition
from apps.orchestration.forms import ReasonForm, ReplayForm, RetryForm
from apps.resilience.errors import ConflictError, InvalidInput
from apps.tenants.context import in_tenant
from apps.tenants.dashboard import MemberRequest, add_errors, member_page, notify


@member_page(write="write:runs", post_only=True)
def pause(request: MemberRequest, run_id: UUID) -> HttpResponse:
    """Let a run rest before its next step."""
    pausing.pause_run(tenant=request.tenant, run_id=run_id, actor=request.user.email)
    notify(request, "The run rests before its next step, until somebody resumes it.")
    return redirect("run", run_id)


@member_page(write="write:runs", post_only=True)
def resume(request: MemberRequest, run_id: UUID) -> HttpResponse:
    """Let a paused run go on."""
    pausing.resume_run(tenant=request.tenant, run_id=run_id, actor=request.user.email)
    notify(request, "The run goes on.")
    return redirect("run", run_id)


@member_page(read="write:runs", write="write:runs")
def retry_from(request: MemberRequest, run_id: UUID) -> HttpResponse:
    """Tell what doing a run again from a step would undo and repeat, ask, and do it."""
    about = _about(request, run_id)
    form = RetryForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid() and _is_retried(request, run_id, about["step"], form):
        notify(request, f"The run is done again from “{about['step']}” on.")
        return redirect("run", run_id)
    context = {**about, "form": form}
    return render(request, "orchestration/retry.html", context, status=422 if form.errors else 200)


@member_page(read="write:runs", write="write:runs")
def undo_from(request: MemberRequest, run_id: UUID) -> HttpResponse:
    """Tell what undoing a run from a step on would undo, ask why, and do it."""
    about = _about(request, run_id)
    form = ReasonForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        who: dict[str, Any] = {"tenant": request.tenant, "actor": request.user.email}
        rewinding.undo_from(**who, run_id=run_id, step_id=about["step"], **form.cleaned_data)
        notify(request, f"The run is being undone back to “{about['step']}”, the last step first.")
        return redirect("run", run_id)
    context = {**about, "form": form, "action": "compensate", "is_possible": bool(about["undone"])}
    return render(request, "orchestration/undo.html", context, status=422 if form.errors else 200)


@member_page(read="write:runs", write="write:runs")
def replay(request: MemberRequest, run_id: UUID) -> HttpResponse:
    """Tell what a new run with the same input would do for real, ask, and start it."""
    with in_tenant(request.tenant):
        run = selectors.get_run(tenant=request.tenant, run_id=run_id)
        effects = replaying.list_effects(tenant=request.tenant, digest=run.hash)
    form = ReplayForm(request.POST if request.method == "POST" else None, initial={"key": uuid4()})
    if request.method == "POST" and form.is_valid():
        given, new_id = form.cleaned_data, uuid5(run_id, str(form.cleaned_data.pop("key")))
        who: dict[str, Any] = {"tenant": request.tenant, "actor": request.user.email}
        try:
            made = replaying.replay_run(**who, run_id=run_id, new_id=new_id, **given)
        except InvalidInput as error:
            add_errors(form, error)
        else:
            notify(request, "A new run with the same input has begun.")
            return redirect("run", made.id)
    context = {"run": run, "effects": effects, "form": form}
    return render(request, "orchestration/replay.html", context, status=422 if form.errors else 200)


def _is_retried(request: MemberRequest, run_id: UUID, step: str, form: RetryForm) -> bool:
    given = form.cleaned_data
    try:
        rewinding.retry_from(
            tenant=request.tenant,
            run_id=run_id,
            step_id=step,
            repeat_effects=given["repeat_effects"],
            reply=given["reply"] or None,
            actor=request.user.email,
            reason=given["reason"],
        )
    except InvalidInput as error:
        add_errors(form, error)
        return False
    return True


def _about(request: MemberRequest, run_id: UUID) -> dict[str, Any]:
    """Return what the pages say of a step's plan, or why there is none."""
    step = request.GET.get("step", "").replace("\x00", "")
    with in_tenant(request.tenant):
        run = selectors.get_run(tenant=request.tenant, run_id=run_id)
        known: dict[str, Any] = {"run": run, "step": step, "undone": [], "kept": []}
        try:
            plan = rewinding.plan_retry(tenant=request.tenant, run_id=run_id, step_id=step)
        except (ConflictError, InvalidInput) as error:
            why = [text for texts in error.errors.values() for text in texts] or [error.detail]
            return {**known, "problem": " ".join(why)}
        compensation = get_definition(tenant=request.tenant, digest=run.hash).compensation
    undone = [(name, compensation[name].action) for name in plan.undone_first]
    return {**known, "plan": plan, "undone": undone, "kept": plan.repeated}
