"""People: who can log in, to which companies, who is staff, and what groups of staff may do."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.http import HttpRequest
from unfold.paginator import InfinitePaginator
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from aiaas.staff.reasons import ReasonedAdmin
from aiaas.staff.site import display
from apps.tenants.context import PLATFORM
from apps.tenants.models import Membership, User


@admin.register(User)
class UserAdmin(ReasonedAdmin):
    list_display = ("email", "name", "is_active", "is_staff", "last_login", "created_at")
    list_filter = ("is_active", "is_staff", "is_superuser")
    search_fields = ("email", "name")
    ordering = ("-id",)
    sortable_by = ()
    paginator = InfinitePaginator
    fields = (
        "email",
        "name",
        "is_active",
        "is_staff",
        "is_superuser",
        "groups",
        "companies",
        "last_login",
        "created_at",
    )
    readonly_fields = ("email", "companies", "last_login", "created_at")
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Only superusers make staff, and nobody takes their own rights away."""
        fields = tuple(super().get_readonly_fields(request, obj))
        if request.user.is_superuser and obj != request.user:
            return fields
        return (*fields, "is_active", "is_staff", "is_superuser", "groups")

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer groups as boxes to tick."""
        widget = UnfoldAdminCheckboxSelectMultipleWidget
        return super().formfield_for_manytomany(db_field, request, widget=widget, **kwargs)

    @display(description="Companies")
    def companies(self, user: User) -> str:
        rows = Membership.objects.using(PLATFORM).filter(user_id=user.id).select_related("tenant")
        return ", ".join(f"{row.tenant.slug} ({row.role})" for row in rows) or "none"


@admin.register(Group)
class GroupAdmin(ReasonedAdmin):
    """What a group of staff may see and do; only superusers decide that."""

    list_display = ("name",)
    search_fields = ("name",)
    ordering = ("name",)
    fields = ("name", "permissions")

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer what the pages here ask for, and nothing else."""
        models = [model._meta.model_name for model in self.admin_site._registry]
        known = Permission.objects.select_related("content_type").filter(content_type__model__in=models)
        offered = known.filter(codename__regex="^(view|change|add)_")
        field: Any = super().formfield_for_manytomany(
            db_field, request, queryset=offered, widget=UnfoldAdminCheckboxSelectMultipleWidget, **kwargs
        )
        field.label_from_instance = lambda permission: permission.name
        return field

    def has_module_permission(self, request: HttpRequest) -> bool:
        return request.user.is_superuser

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.is_superuser

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.is_superuser

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.is_superuser
