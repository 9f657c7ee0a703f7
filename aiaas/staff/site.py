"""The site, and what every page of it is built on."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model, OuterRef, QuerySet, Subquery
from django.forms import Form
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from unfold import decorators
from unfold.admin import ModelAdmin
from unfold.sites import UnfoldAdminSite

from apps.resilience.errors import DomainError
from apps.tenants.context import PLATFORM, in_platform
from apps.tenants.dashboard import add_errors
from apps.tenants.models import Tenant

# The admin's own scripts (Alpine) evaluate expressions of its templates: a wider policy than the dashboard's.
POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)


Method = TypeVar("Method", bound=Callable[..., Any])


def action(**options: Any) -> Callable[[Method], Method]:
    """Make a method an action, as unfold does."""
    return cast(Callable[[Method], Method], decorators.action(**options))


def display(**options: Any) -> Callable[[Method], Method]:
    """Make a method a column, as unfold does."""
    return cast(Callable[[Method], Method], decorators.display(**options))


class StaffSite(UnfoldAdminSite):
    """The admin; every view of it runs in one transaction of the platform's role."""

    def admin_view(self, view: Callable[..., HttpResponse], cacheable: bool = False) -> Any:
        inner = super().admin_view(view, cacheable)

        @wraps(view)
        def enter(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            with in_platform():
                response = inner(request, *args, **kwargs)
                if hasattr(response, "render") and not response.is_rendered:
                    response.render()  # now: its queries belong into the transaction
            response["Content-Security-Policy"] = POLICY
            return response

        return enter

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        from aiaas.staff.attention import describe_platform

        return super().index(request, {**(extra_context or {}), **describe_platform()})


class PlatformAdmin(ModelAdmin):
    """Rows of all tenants, to be read; whatever changes one is an action that calls a service."""

    show_full_result_count = False
    list_per_page = 50
    compressed_fields = True
    list_fullwidth = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Model]:
        rows = self.model._default_manager.using(PLATFORM)
        ordering = self.get_ordering(request)
        return rows.order_by(*ordering) if ordering else rows

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


def with_company(rows: QuerySet[Model]) -> QuerySet[Model]:
    """Add each row's company by its `tenant_id`, as `company`."""
    names = Tenant.objects.using(PLATFORM).filter(id=OuterRef("tenant_id")).values("slug")
    return rows.annotate(company=Subquery(names))


def ask(
    request: HttpRequest,
    form_class: type[Form],
    act: Callable[..., str],
    *,
    permission: str,
    title: str,
    button: str,
    then: str,
    context: dict[str, Any],
) -> HttpResponse:
    """Show a form; once it is filled in rightly, act with its values, say what `act` returns and go on.

    Raises PermissionDenied for staff without `permission`.
    """
    if not request.user.has_perm(permission):
        raise PermissionDenied("Your staff account does not permit this.")
    form = form_class(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            done = act(**form.cleaned_data)
        except DomainError as error:
            add_errors(form, error)
        else:
            messages.success(request, done)
            return HttpResponseRedirect(then)
    return render(
        request,
        "staff/form.html",
        {**context, "form": form, "title": title, "button": button},
        status=422 if form.errors else 200,
    )
