"""What the staff did: to companies, as their audit trails have it, and to what belongs to no company."""

import json
from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.db.models import Model, QuerySet
from django.http import HttpRequest, StreamingHttpResponse
from unfold.decorators import action

from aiaas.staff.site import AcrossTenants, ReadOnlyAdmin, display
from apps.tenants.audit import write_audit_event
from apps.tenants.context import in_platform
from apps.tenants.models import AuditEvent
from apps.tenants.paging import paginate

EXPORT_BATCH = 500


@admin.register(AuditEvent)
class ActsAdmin(AcrossTenants):
    """Acts of the staff alone; the database's policy shows this role no others."""

    list_display = ("occurred_at", "company_name", "actor", "action", "target", "why", "address")
    list_filter = (("occurred_at", admin.DateFieldListFilter),)
    search_fields = ("action", "actor", "target", "data")
    search_help_text = "A company's address, an act, a member of the staff, or words of what was done"
    ordering = ("-id",)
    fields = ("occurred_at", "company_name", "actor", "action", "target", "data", "address")
    readonly_fields = fields
    actions_list = ("export",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Model]:
        """Say again what the policy says, so that the index is used."""
        return super().get_queryset(request).filter(actor__startswith="staff:")

    @display(description="Reason")
    def why(self, event: AuditEvent) -> str:
        return event.data.get("reason", "")

    @action(description="Export", url_path="export", icon="download")  # type: ignore[untyped-decorator]
    def export(self, request: HttpRequest) -> StreamingHttpResponse:
        """Send every act of the staff as lines of JSON, newest first."""
        headers = {"Content-Disposition": 'attachment; filename="staff-acts.jsonl"'}
        return StreamingHttpResponse(_lines(), content_type="application/x-ndjson", headers=headers)


def _lines() -> Iterator[str]:
    cursor = ""
    while True:
        with in_platform() as alias:
            acts = AuditEvent.objects.using(alias).filter(actor__startswith="staff:")
            page = paginate(acts, cursor, size=EXPORT_BATCH)
        for event in page.items:
            act = {"tenant": event.tenant_id, **write_audit_event(event)}
            yield json.dumps(act, default=str, ensure_ascii=False) + "\n"
        cursor = page.next_cursor
        if not cursor:
            return


@admin.register(LogEntry)
class LogAdmin(ReadOnlyAdmin):
    list_display = ("action_time", "user", "content_type", "object_repr", "change_message")
    list_filter = (("action_time", admin.DateFieldListFilter),)
    search_fields = ("object_repr", "user__email", "change_message")
    search_help_text = "What was changed, who changed it, or why"
    ordering = ("-id",)
    list_select_related = ("user", "content_type")
    fields = ("action_time", "who", "content_type", "object_repr", "change_message")
    readonly_fields = fields

    @display(description="User")
    def who(self, entry: LogEntry) -> str:
        """Name the person in words: a link in the library's colour is too faint on a dark page."""
        return str(entry.user)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Model]:
        rows: Any = LogEntry.objects.all()
        return rows.order_by(*self.ordering)
