"""Many runs at once: what is chosen and what that means, then how far it is."""

from uuid import UUID, uuid4, uuid5

from django.http import HttpResponse
from django.shortcuts import redirect, render

from apps.orchestration.bulk import selectors, services
from apps.orchestration.bulk.contracts import BulkAction
from apps.orchestration.forms import ACTIONS, BulkChoice, BulkForm
from apps.resilience.errors import InvalidInput
from apps.tenants.context import in_tenant
from apps.tenants.dashboard import MemberRequest, add_errors, member_page, notify

RISKY = {BulkAction.CANCEL, BulkAction.COMPENSATE}


@member_page(read="write:runs", write="write:runs")
def choose(request: MemberRequest) -> HttpResponse:
    """Say how many runs are chosen and what happens to them, ask why, and begin."""
    ids, problem, choice = _chosen(request)
    if problem:
        return render(request, "orchestration/bulk_new.html", {"problem": problem})
    action = BulkAction(choice.cleaned_data["action"])
    form = BulkForm(request.POST if request.method == "POST" else None, initial={"key": uuid4()})
    if request.method == "POST" and form.is_valid():
        try:
            made = services.request_bulk(
                tenant=request.tenant,
                action=action,
                ids=ids,
                operation_id=uuid5(request.tenant.id, str(form.cleaned_data["key"])),
                actor=request.user.email,
                reason=form.cleaned_data["reason"],
            )
        except InvalidInput as error:
            add_errors(form, error)
        else:
            return redirect("run_bulk", made.id)
    context = {"form": form, "action": dict(ACTIONS)[action.value], "total": len(ids)}
    context["is_risky"] = action in RISKY
    return render(request, "orchestration/bulk_new.html", context, status=422 if form.errors else 200)


@member_page(read="read:runs")
def show(request: MemberRequest, operation_id: UUID) -> HttpResponse:
    """Show how far an operation is, and which runs it could not steer."""
    operation = selectors.get_bulk(tenant=request.tenant, operation_id=operation_id)
    context = {"operation": operation, "may_stop": request.principal.may("write:runs")}
    template = "orchestration/_bulk.html" if request.htmx else "orchestration/bulk.html"
    return render(request, template, context)


@member_page(write="write:runs", post_only=True)
def cancel(request: MemberRequest, operation_id: UUID) -> HttpResponse:
    """Leave the rest of an operation's runs alone."""
    services.cancel_bulk(tenant=request.tenant, operation_id=operation_id)
    notify(request, "Stopped; the rest of the runs is left as it is.")
    return redirect("run_bulk", operation_id)


def _chosen(request: MemberRequest) -> tuple[list[UUID], str, BulkChoice]:
    """Return the chosen runs, or what is wrong with the choice."""
    choice = BulkChoice(request.GET)
    if not choice.is_valid():
        return [], "Tick runs in the list, and choose what to do with them.", choice
    try:
        if choice.cleaned_data["all"]:
            with in_tenant(request.tenant):
                found = selectors.choose_runs(tenant=request.tenant, criteria=choice.criteria)
            return [UUID(run_id) for run_id in found], "", choice
        ids = [UUID(text) for text in request.GET.getlist("ids")]
    except InvalidInput as error:
        return [], " ".join(text for texts in error.errors.values() for text in texts), choice
    except ValueError:
        ids = []
    return ids, "" if ids else "Tick at least one run in the list.", choice
