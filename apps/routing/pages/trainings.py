"""Train a candidate, look at how it compares, use or discard it; go back to a version."""

from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from apps.routing import selectors, services
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.dashboard import MemberRequest, member_page, notify

READ, WRITE = "read:router", "write:router"


@member_page(write=WRITE, post_only=True)
def train(request: MemberRequest) -> HttpResponse:
    """Ask for a candidate."""
    wanted = services.request_training(tenant=request.tenant, actor=request.user.email)
    return redirect("router_training", wanted.id)


@member_page(read=READ)
def show_training(request: MemberRequest, training_id: UUID) -> HttpResponse:
    """Show how far a training is, and then how its candidate compares; for htmx, only that."""
    candidate = selectors.get_candidate(tenant=request.tenant, training_id=training_id)
    context = {
        "candidate": candidate,
        "comparison": candidate.comparison,
        "may_write": request.principal.may(WRITE),
    }
    template = "routing/_training.html" if request.htmx else "routing/training.html"
    return render(request, template, context)


@member_page(write=WRITE, post_only=True)
def use(request: MemberRequest, training_id: UUID) -> HttpResponse:
    """Let a candidate route."""
    before = _undo_url(request.tenant)
    model = services.use_candidate(tenant=request.tenant, training_id=training_id, actor=request.user.email)
    notify(request, f"v{model.version} routes from now on.", undo_url=before)
    return redirect("router")


@member_page(write=WRITE, post_only=True)
def discard(request: MemberRequest, training_id: UUID) -> HttpResponse:
    """Drop a candidate."""
    services.discard_candidate(tenant=request.tenant, training_id=training_id)
    notify(request, "Discarded. Your examples are as they were; you can train again.")
    return redirect("router")


@member_page(write=WRITE, post_only=True)
def use_version(request: MemberRequest, model_id: UUID) -> HttpResponse:
    """Let a kept version route again."""
    before = _undo_url(request.tenant)
    model = services.use_model(tenant=request.tenant, model_id=model_id, actor=request.user.email)
    notify(request, f"v{model.version} routes again.", undo_url=before)
    return redirect("router")


@member_page(write=WRITE, post_only=True)
def use_shipped(request: MemberRequest) -> HttpResponse:
    """Let the shipped model route again."""
    before = _undo_url(request.tenant)
    services.use_shipped_model(tenant=request.tenant, actor=request.user.email)
    notify(request, "The shipped model routes again.", undo_url=before)
    return redirect("router")


def _undo_url(tenant: TenantRef) -> str:
    """Return where a POST brings back what routes now."""
    with in_tenant(tenant):
        active = selectors.get_active_version(tenant=tenant)
    return reverse("router_use_version", args=[active.id]) if active else reverse("router_use_shipped")
