"""People: who can log in, to which companies, and who is staff."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from aiaas.staff.site import display
from apps.tenants.context import PLATFORM
from apps.tenants.models import Membership, User


@admin.register(User)
class UserAdmin(ModelAdmin):
    list_display = ("email", "name", "is_active", "is_staff", "last_login", "created_at")
    list_filter = ("is_active", "is_staff", "is_superuser")
    search_fields = ("email", "name")
    ordering = ("-created_at",)
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
    filter_horizontal = ("groups",)
    list_per_page = 50
    list_fullwidth = True

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Only superusers make staff, and nobody takes their own rights away."""
        fields = tuple(super().get_readonly_fields(request, obj))
        if request.user.is_superuser and obj != request.user:
            return fields
        return (*fields, "is_active", "is_staff", "is_superuser", "groups")

    @display(description="Companies")
    def companies(self, user: User) -> str:
        rows = Membership.objects.using(PLATFORM).filter(user_id=user.id).select_related("tenant")
        return ", ".join(f"{row.tenant.slug} ({row.role})" for row in rows) or "none"
