"""Work across tenants: runs, events that wait, events that could not be handled."""

from typing import Any

import orjson
from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.forms import Form
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from unfold.paginator import InfinitePaginator

from aiaas.staff.site import PlatformAdmin, action, ask, display, with_company
from apps.events.models import DeadLetter, OutboxEvent
from apps.orchestration.models import AgentRun
from apps.resilience.errors import ConflictError
from apps.tenants.selectors import get_tenant
from workers.dead_letters import replay_letter

RUN_COLOURS = {
    "running": "info",
    "completed": "success",
    "waiting": "warning",
    "compensating": "warning",
    "failed": "danger",
    "compensation_failed": "danger",
}


class AcrossTenants(PlatformAdmin):
    paginator = InfinitePaginator

    def get_queryset(self, request: HttpRequest) -> QuerySet[Model]:
        return with_company(super().get_queryset(request))

    @display(description="Company")
    def company_name(self, row: Any) -> str:
        return row.company or str(row.tenant_id)


@admin.register(AgentRun)
class RunAdmin(AcrossTenants):
    """How runs stand; what they are about is the tenant's business, so neither input nor output is shown."""

    list_display = ("id", "company_name", "workflow_name", "state", "claims", "created_at", "finished_at")
    list_filter = ("status",)
    search_fields = ("=id", "=tenant_id")
    search_help_text = "The id of a run or of a tenant"
    ordering = ("-created_at", "-id")
    fields = (
        "id", "company_name", "workflow_name", "workflow_version", "status", "error", "version", "claims",
        "lease_owner", "lease_epoch", "due_at", "cancel_requested_at", "created_at", "finished_at",
    )  # fmt: skip
    readonly_fields = fields

    @display(description="Status", label=RUN_COLOURS)
    def state(self, run: AgentRun) -> str:
        return run.status


@admin.register(DeadLetter)
class DeadLetterAdmin(AcrossTenants):
    list_display = (
        "type",
        "company_name",
        "consumer",
        "short_cause",
        "deliveries",
        "created_at",
        "replayed_at",
    )
    list_filter = ("consumer", ("replayed_at", admin.EmptyFieldListFilter))
    search_fields = ("=id", "=event_id", "=tenant_id", "type")
    ordering = ("-created_at",)
    fields = ("type", "company_name", "consumer", "cause", "event", "deliveries", "created_at", "replayed_at")
    readonly_fields = fields
    actions = ["replay_selected"]
    actions_detail = ["replay"]

    @display(description="Cause")
    def short_cause(self, letter: DeadLetter) -> str:
        return letter.cause.splitlines()[0][:80] if letter.cause else ""

    @display(description="Event")
    def event(self, letter: DeadLetter) -> str:
        """The envelope without its data, which is the tenant's."""
        outside = {name: value for name, value in letter.envelope.items() if name != "data"}
        return format_html("<pre>{}</pre>", orjson.dumps(outside, option=orjson.OPT_INDENT_2).decode())

    @admin.action(description="Replay the selected dead letters", permissions=["replay"])
    def replay_selected(self, request: HttpRequest, queryset: QuerySet[DeadLetter]) -> None:
        self._replay(request, list(queryset.filter(replayed_at__isnull=True)))

    @action(description="Replay…", url_path="replay", icon="replay")
    def replay(self, request: HttpRequest, object_id: str) -> HttpResponse:
        then = reverse("admin:events_deadletter_changelist")
        letter = self.get_object(request, object_id)
        if letter is None:
            return HttpResponseRedirect(then)

        def again() -> str:
            if error := replay_letter(get_tenant(tenant_id=letter.tenant_id), letter):
                raise ConflictError(f"It failed again and stays on the list. {error}")
            return f"{letter.type} was handled."

        return ask(
            request,
            Form,
            again,
            permission="events.change_deadletter",
            title=f"Replay {letter.type}",
            button="Replay",
            then=then,
            context=self.admin_site.each_context(request),
        )

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("events.change_deadletter")

    def _replay(self, request: HttpRequest, letters: list[Any]) -> None:
        failures = []
        for letter in letters:
            error = replay_letter(get_tenant(tenant_id=letter.tenant_id), letter)
            failures += [f"{letter.type}: {error}"] if error else []
        if done := len(letters) - len(failures):
            messages.success(request, f"{done} replayed.")
        for failure in failures:
            messages.error(request, f"Failed again and stays on the list. {failure}")


@admin.register(OutboxEvent)
class OutboxAdmin(AcrossTenants):
    """Events on their way; only those that wait, which is what lag is made of."""

    list_display = ("position", "type", "company_name", "stream", "shard", "created_at")
    list_filter = ("stream",)
    ordering = ("position",)
    fields = ("position", "id", "type", "company_name", "stream", "shard", "created_at", "published_at")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Model]:
        return super().get_queryset(request).filter(published_at__isnull=True)
