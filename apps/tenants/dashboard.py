"""The door of every page under /app/: who looks, at which of their tenants, and what they may do there."""

import datetime as dt
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps
from typing import Any
from urllib.parse import urlsplit

import structlog
from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods
from django_htmx.middleware import HtmxDetails

from apps.resilience.errors import DomainError
from apps.tenants import selectors
from apps.tenants.acting import acting_as
from apps.tenants.context import in_tenant, tenant_context
from apps.tenants.contracts import MembershipView, Principal, Role, TenantRef
from apps.tenants.identity import selectors as identity
from apps.tenants.models import User
from apps.tenants.permissions import is_declared, require
from apps.tenants.services import principal_of, record_audit

SESSION_TENANT = "tenant"  # the slug of the tenant that the member looks at
SESSION_ACTING = "acting"  # a staff member's visit: {"tenant": slug, "role": role, "until": ISO time}
START_URL = "/accounts/start/"  # where a person without a tenant goes

View = Callable[..., HttpResponseBase]


class MemberRequest(HttpRequest):
    """A request that has passed the door."""

    user: User
    principal: Principal
    tenant: TenantRef
    membership: MembershipView
    memberships: list[MembershipView]
    htmx: HtmxDetails
    is_acting: bool
    is_verified: bool  # whether the person's address is proved
    may_write: bool  # whether the page's `write` is granted: what its template offers


def member_page(
    *,
    read: str = "",
    write: str = "",
    post_only: bool = False,
    even_suspended: bool = False,
    needs_verified: bool = False,
) -> Callable[[View], View]:
    """Let members in who hold `read` (GET) or `write` (POST); SIGNED_IN admits every member.

    GET runs in one transaction of the tenant. POST gets the tenant's context only: its services open
    their own transactions, and so must what it reads. A page that is not told of a `write` takes no POST,
    one that is `post_only` no GET. `even_suspended`: it also takes POST while the company is suspended.
    `needs_verified` refuses a POST of somebody whose address is not proved.
    A DomainError becomes a page, or for htmx a message, with the error's status.
    """
    methods = _methods(read, write, post_only)

    def decorate(view: View) -> View:
        @never_cache
        @require_http_methods(methods)
        @wraps(view)
        def enter(request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if (detour := _find_detour(request)) is not None:
                return detour
            try:
                require(request.principal, read if request.method in ("GET", "HEAD") else write)
                if needs_verified and request.method == "POST":
                    identity.require_verified(request)
                request.may_write = bool(write) and request.principal.may(write)
                with acting_as(_actor_of(request)), _serve(request, even_suspended):
                    return view(request, *args, **kwargs)
            except DomainError as error:
                return show_problem(request, error)

        enter.permissions = {"read": read, "write": write}  # type: ignore[attr-defined]
        enter.post_only = post_only  # type: ignore[attr-defined]
        return enter

    return decorate


def _methods(read: str, write: str, post_only: bool) -> list[str]:
    if post_only == bool(read) or not all(is_declared(name) for name in (read, write) if name):
        raise ImproperlyConfigured(
            "Say which permission of the table a page needs: read=…, or post_only=True."
        )
    return [*(["GET", "HEAD"] if read else []), *(["POST"] if write else [])]


def add_errors(form: forms.BaseForm, error: DomainError) -> None:
    """Put a service's refusal at the form's fields; what concerns no field of the form goes on top."""
    if not error.errors:
        form.add_error(None, error.detail)
    for name, texts in error.errors.items():
        root = name.split(".")[0]
        for text in texts:
            form.add_error(root if root in form.fields else None, text)


def notify(request: HttpRequest, text: str, *, undo_url: str = "") -> None:
    """Tell the member what was done, on the next page; `undo_url` takes a POST that undoes it."""
    messages.success(request, text, extra_tags=undo_url)


def show_problem(request: HttpRequest, error: DomainError) -> HttpResponse:
    """Answer a refusal: a page, or a line for htmx to show as a notice."""
    template = "shell/_problem.html" if request.htmx else "shell/problem.html"  # type: ignore[attr-defined]
    context = {"title": error.title, "detail": error.detail, "errors": error.errors, "status": error.status}
    return render(request, template, context, status=error.status)


def _find_detour(request: Any) -> HttpResponse | None:
    """Return where who asks has to go before they may enter, and set who acts in which tenant."""
    if not request.user.is_authenticated:
        return _ask_to_log_in(request)
    if not _find_tenant(request):
        return HttpResponseRedirect(START_URL)
    missing = _find_missing_proof(request)
    return _lead_to(request, missing) if missing else None


def _ask_to_log_in(request: Any) -> HttpResponse:
    if request.htmx:
        path = urlsplit(request.htmx.current_url or "/app/").path
        return _lead_to(request, redirect_to_login(path).url)
    return redirect_to_login(request.get_full_path())


def _lead_to(request: Any, url: str) -> HttpResponse:
    if request.htmx:  # a fragment must not be replaced by another page
        return HttpResponse(status=204, headers={"HX-Redirect": url})
    return HttpResponseRedirect(url)


def _find_missing_proof(request: Any) -> str:
    request.is_verified = identity.is_verified(request)
    needed = settings.STAFF_REQUIRES_MFA if request.is_acting else request.membership.requires_mfa
    return identity.find_missing_proof(request, needs_second_factor=needed)


def _find_tenant(request: Any) -> bool:
    """Set who acts in which tenant; False for a person who belongs to none."""
    request.memberships = selectors.list_memberships(user_id=request.user.id)
    visit = _visit_of_staff(request)
    request.is_acting = visit is not None
    wanted = request.session.get(SESSION_TENANT)
    chosen = next((m for m in request.memberships if m.tenant.slug == wanted), None)
    request.membership = visit or chosen or next(iter(request.memberships), None)
    if request.membership is None:
        return False
    request.tenant, user = request.membership.tenant, request.user
    request.principal = principal_of(
        user_id=user.id, name=user.name or user.email, tenant=request.tenant, role=request.membership.role
    )
    return True


def _visit_of_staff(request: Any) -> MembershipView | None:
    acting = request.session.get(SESSION_ACTING)
    if not acting or not request.user.is_staff:
        return None
    if dt.datetime.fromisoformat(acting["until"]) <= timezone.now():
        del request.session[SESSION_ACTING]
        return None
    tenant = selectors.get_tenant(slug=acting["tenant"])
    return MembershipView(tenant, acting.get("name", tenant.slug), Role(acting["role"]))


def _serve(request: MemberRequest, even_suspended: bool) -> AbstractContextManager[Any]:
    structlog.contextvars.bind_contextvars(tenant=request.tenant.slug, principal=request.principal.id)
    if request.method in ("GET", "HEAD"):
        return in_tenant(request.tenant)
    if request.is_acting:
        _record_visit(request)
    elif not even_suspended:
        selectors.require_active(request.tenant)
    return tenant_context(request.tenant)


def _record_visit(request: MemberRequest) -> None:
    with in_tenant(request.tenant):
        record_audit(tenant=request.tenant, action="staff.acted", target=request.path)


def _actor_of(request: MemberRequest) -> str:
    return f"staff:{request.user.email}" if request.is_acting else request.user.email
