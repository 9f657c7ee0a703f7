"""From signing up to the first steps."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import path, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from apps.accounts import selectors, services
from apps.accounts.forms import CompanyForm
from apps.accounts.models import SignUp
from apps.resilience.errors import DomainError, NotFoundError
from apps.tenants.dashboard import SESSION_TENANT, MemberRequest, add_errors, member_page
from apps.tenants.identity.selectors import is_verified
from apps.tenants.selectors import build_snippet, get_widget_key, list_memberships


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def start(request: HttpRequest) -> HttpResponse:
    """Wait for one's company, ask for one, or go on to it."""
    user_id = UUID(str(request.user.pk))
    sign_up = selectors.find_sign_up(user_id=user_id)
    if request.method == "POST":
        return _ask(request, user_id, sign_up)
    slugs = [membership.tenant.slug for membership in list_memberships(user_id=user_id)]
    if sign_up is not None and sign_up.status == SignUp.Status.DONE and sign_up.slug in slugs:
        request.session[SESSION_TENANT] = sign_up.slug
        return _go_on(request)
    if sign_up is None and slugs:
        return HttpResponseRedirect(settings.LOGIN_REDIRECT_URL)
    return render(request, "accounts/start.html", {"sign_up": sign_up, "form": CompanyForm()})


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def add_company(request: HttpRequest) -> HttpResponse:
    """Ask for one more company; the present ones stay as they are."""
    user: Any = request.user
    form = CompanyForm(request.POST if request.method == "POST" else None)
    if not is_verified(request):
        messages.warning(request, "Verify your e-mail address first; then add a company.")
        return redirect("address")
    if request.method == "POST" and form.is_valid():
        try:
            services.request_another_company(user_id=user.id, **form.cleaned_data)
        except DomainError as error:
            add_errors(form, error)
        else:
            return redirect("start")
    context = {"form": form}
    return render(request, "accounts/add_company.html", context, status=422 if form.errors else 200)


def _go_on(request: HttpRequest) -> HttpResponse:
    if request.headers.get("HX-Request"):  # the waiting page polls: it must leave, not swallow the next one
        return HttpResponse(status=204, headers={"HX-Redirect": reverse("first_steps")})
    return redirect("first_steps")


def _ask(request: HttpRequest, user_id: UUID, sign_up: SignUp | None) -> HttpResponse:
    if sign_up is not None and sign_up.status == SignUp.Status.FAILED:
        services.retry_sign_up(user_id=user_id)
        return redirect("start")
    form = CompanyForm(request.POST)
    if sign_up is None and form.is_valid():
        services.request_company(user_id=user_id, **form.cleaned_data)
        return redirect("start")
    status = 422 if sign_up is None else 200
    return render(request, "accounts/start.html", {"sign_up": sign_up, "form": form}, status=status)


@member_page(read="write:settings")
def show_first_steps(request: MemberRequest) -> HttpResponse:
    """Show what there is to do in a new company, and what is done."""
    steps = selectors.list_first_steps(tenant=request.tenant)
    context = {
        "steps": steps,
        "done": sum(step.is_done for step in steps),
        "snippet": _snippet(request),
    }
    template = "accounts/_steps.html" if request.htmx else "accounts/first_steps.html"
    return render(request, template, context)


@member_page(read="read:conversations")
def try_it(request: MemberRequest) -> HttpResponse:
    """Show the company's own chat, as a customer would see it."""
    return render(request, "accounts/try.html", {"key": get_widget_key(tenant=request.tenant).key})


def _snippet(request: MemberRequest) -> str:
    try:
        return build_snippet(get_widget_key(tenant=request.tenant).key)
    except NotFoundError:  # every widget is switched off
        return ""


urlpatterns = [
    path("first-steps/", show_first_steps, name="first_steps"),
    path("try/", try_it, name="try"),
]
