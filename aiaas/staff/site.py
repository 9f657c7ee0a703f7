"""The site, and what every page of it is built on."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from allauth.account.decorators import secure_admin_login
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model, OuterRef, QuerySet, Subquery
from django.forms import Form
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import path
from django.utils.decorators import method_decorator
from unfold import decorators
from unfold.admin import ModelAdmin
from unfold.paginator import InfinitePaginator
from unfold.sites import UnfoldAdminSite

from apps.resilience.errors import DomainError
from apps.tenants.context import PLATFORM, in_platform
from apps.tenants.dashboard import add_errors
from apps.tenants.identity.selectors import find_second_step, must_show_second_factor
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
    """The admin; every view of it runs in one transaction of the platform's role.

    Staff log in where everybody does, so that guessing is limited there as well, and show a second factor
    unless the settings ask for none.
    """

    index_title = "Start"

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        """Take pages of ours only: those of libraries ask for no reason and log nothing."""
        if admin_class is not None and admin_class.__module__.startswith("aiaas.staff."):
            super().register(model_or_iterable, admin_class, **options)

    @method_decorator(secure_admin_login)
    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().login(request, extra_context)

    def admin_view(self, view: Callable[..., HttpResponse], cacheable: bool = False) -> Any:
        inner = super().admin_view(view, cacheable)

        @wraps(view)
        def enter(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if request.user.is_staff and must_show_second_factor(request):
                return HttpResponseRedirect(
                    find_second_step(user_id=request.user.pk, then=request.get_full_path())
                )
            with in_platform():
                response = inner(request, *args, **kwargs)
                if hasattr(response, "render") and not response.is_rendered:
                    response.render()  # now: its queries belong into the transaction
            response["Content-Security-Policy"] = POLICY
            return response

        return enter

    def get_urls(self) -> list[Any]:
        from aiaas.staff.drift import compare_schemas

        own = [path("compare-schemas/", self.admin_view(compare_schemas), name="compare_schemas")]
        return [*own, *super().get_urls()]

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        from aiaas.staff.attention import describe_platform

        return super().index(request, {**(extra_context or {}), **describe_platform()})


class ReadOnlyAdmin(ModelAdmin):
    """Rows to be read, page by page without counting them; whatever changes one is an action."""

    paginator = InfinitePaginator
    show_full_result_count = False
    list_per_page = 50
    compressed_fields = True
    list_fullwidth = True

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class PlatformAdmin(ReadOnlyAdmin):
    """Rows of all tenants, read through the platform's role."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Model]:
        rows = self.model._default_manager.using(PLATFORM)
        ordering = self.get_ordering(request)
        return rows.order_by(*ordering) if ordering else rows


class AcrossTenants(PlatformAdmin):
    """Rows with their company; found by its address, and in the order of an index only, as they are many."""

    sortable_by = ()
    search_fields: tuple[str, ...] = ("=tenant_id",)
    search_help_text = "A company's address or its id"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Model]:
        names = Tenant.objects.using(PLATFORM).filter(id=OuterRef("tenant_id")).values("slug")
        return super().get_queryset(request).annotate(company=Subquery(names))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        found = Tenant.objects.using(PLATFORM).filter(slug=search_term.strip().lower()).first()
        if found is not None:
            return queryset.filter(tenant_id=found.id), False
        return super().get_search_results(request, queryset, search_term)

    @display(description="Company")
    def company_name(self, row: Any) -> str:
        return row.company or str(row.tenant_id)


def actor_of(request: HttpRequest) -> str:
    """Name the staff member in a tenant's audit trail."""
    return f"staff:{request.user.email}"[:100]  # type: ignore[union-attr]


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
    initial: dict[str, Any] | None = None,
) -> HttpResponse:
    """Show a form; once it is filled in rightly, act with its values, say what `act` returns and go on.

    Raises PermissionDenied for staff without `permission`.
    """
    if not request.user.has_perm(permission):
        raise PermissionDenied("Your staff account does not permit this.")
    form = form_class(request.POST if request.method == "POST" else None, initial=initial)
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
