"""Pages of a member's own: which tenant they look at."""

from uuid import UUID

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.views.decorators.http import require_POST

from apps.resilience.errors import NotFoundError
from apps.tenants.dashboard import SESSION_ACTING, SESSION_TENANT, show_problem
from apps.tenants.lifecycle import end_visit
from apps.tenants.selectors import get_tenant, list_memberships


@require_POST
@login_required
def choose_tenant(request: HttpRequest) -> HttpResponse:
    """Look at another of one's tenants from now on."""
    slug = request.POST.get("tenant", "")
    memberships = list_memberships(user_id=UUID(str(request.user.pk)))
    if slug not in {membership.tenant.slug for membership in memberships}:
        return show_problem(request, NotFoundError("You do not belong to that company."))
    request.session[SESSION_TENANT] = slug
    return HttpResponseRedirect(settings.LOGIN_REDIRECT_URL)


@require_POST
@login_required
def leave_tenant(request: HttpRequest) -> HttpResponse:
    """End a staff member's visit to a tenant."""
    acting = request.session.pop(SESSION_ACTING, None)
    if acting:
        actor = f"staff:{request.user.email}"[:100]  # type: ignore[union-attr]
        end_visit(tenant=get_tenant(slug=acting["tenant"]), actor=actor)
    return HttpResponseRedirect("/admin/")
