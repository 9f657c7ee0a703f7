"""What the staff did: to companies, as their audit trails have it, and to what belongs to no company."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from aiaas.staff.site import AcrossTenants, ReadOnlyAdmin, display
from apps.tenants.models import AuditEvent


@admin.register(AuditEvent)
class ActsAdmin(AcrossTenants):
    """Acts of the staff alone; the database's policy shows this role no others."""

    list_display = ("occurred_at", "company_name", "actor", "action", "why", "address")
    search_fields = ("action", "actor")
    search_help_text = "A company's address, an act or a member of the staff"
    ordering = ("-id",)
    fields = ("occurred_at", "company_name", "actor", "action", "target", "data", "address")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Model]:
        """Say again what the policy says, so that the index is used."""
        return super().get_queryset(request).filter(actor__startswith="staff:")

    @display(description="Reason")
    def why(self, event: AuditEvent) -> str:
        return event.data.get("reason", "")


@admin.register(LogEntry)
class LogAdmin(ReadOnlyAdmin):
    list_display = ("action_time", "user", "content_type", "object_repr", "change_message")
    search_fields = ("object_repr", "user__email")
    search_help_text = "What was changed, or who changed it"
    ordering = ("-id",)
    list_select_related = ("user", "content_type")
    fields = ("action_time", "user", "content_type", "object_repr", "change_message")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Model]:
        rows: Any = LogEntry.objects.all()
        return rows.order_by(*self.ordering)
