"""Work across tenants: runs, events that wait, events that could not be handled."""

from typing import Any

import orjson
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.html import format_html

from aiaas.staff.forms import ReasonForm
from aiaas.staff.site import AcrossTenants, action, actor_of, ask, display
from apps.events.models import DeadLetter, OutboxEvent
from apps.orchestration.models import AgentRun
from apps.resilience.errors import ConflictError
from apps.tenants.context import in_tenant
from apps.tenants.selectors import get_tenant
from apps.tenants.services import record_audit
from workers.dead_letters import replay_letter

PRE = '<pre style="white-space: pre-wrap; overflow-wrap: anywhere">{}</pre>'
RUN_COLOURS = {
    "running": "info",
    "completed": "success",
    "sleeping": "info",
    "waiting": "warning",
    "paused": "warning",
    "compensating": "warning",
    "failed": "danger",
    "compensation_failed": "danger",
}


@admin.register(AgentRun)
class RunAdmin(AcrossTenants):
    """How runs stand; what they are about is the tenant's business, so neither input nor output is shown."""

    list_display = ("id", "company_name", "workflow_name", "state", "claims", "created_at", "finished_at")
    list_filter = ("status",)
    search_fields = ("=id", "=tenant_id")
    search_help_text = "A company's address, or the id of a run"
    ordering = ("-id",)
    fields = (
        "id", "company_name", "workflow_name", "workflow_version", "status", "error", "version", "claims",
        "lease_owner", "lease_epoch", "due_at", "cancel_requested_at", "pause_requested_at",
        "created_at", "finished_at",
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
    search_help_text = "A company's address, an event's type or its id"
    ordering = ("-id",)
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
        return format_html(PRE, orjson.dumps(outside, option=orjson.OPT_INDENT_2).decode())

    @admin.action(description="Replay the selected dead letters…", permissions=["replay"])
    def replay_selected(self, request: HttpRequest, queryset: QuerySet[DeadLetter]) -> HttpResponse | None:
        """Ask why on a page of its own, which sends the same action with the reason."""
        form = ReasonForm(request.POST if "reason" in request.POST else None)
        if form.is_bound and form.is_valid():
            self._replay(request, list(queryset.filter(replayed_at=None)), form.cleaned_data["reason"])
            return None
        context = {
            **self.admin_site.each_context(request),
            "form": form,
            "title": "Replay the selected dead letters",
            "button": "Replay",
            "hidden": [("action", "replay_selected")]
            + [(ACTION_CHECKBOX_NAME, key) for key in request.POST.getlist(ACTION_CHECKBOX_NAME)],
        }
        return render(request, "staff/form.html", context, status=422 if form.errors else 200)

    @action(description="Replay…", url_path="replay", icon="replay", permissions=["replay"])
    def replay(self, request: HttpRequest, object_id: str) -> HttpResponse:
        then = reverse("admin:events_deadletter_changelist")
        letter = self.get_object(request, object_id)
        if letter is None:
            return HttpResponseRedirect(then)

        def again(reason: str) -> str:
            if error := _replay(request, letter, reason):
                raise ConflictError(f"It failed again and stays on the list. {error}")
            return f"{letter.type} was handled."

        return ask(
            request,
            ReasonForm,
            again,
            permission="events.change_deadletter",
            title=f"Replay {letter.type}",
            button="Replay",
            then=then,
            context=self.admin_site.each_context(request),
        )

    def has_replay_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("events.change_deadletter")

    def _replay(self, request: HttpRequest, letters: list[DeadLetter], reason: str) -> None:
        failures = []
        for letter in letters:
            error = _replay(request, letter, reason)
            failures += [f"{letter.type}: {error}"] if error else []
        if done := len(letters) - len(failures):
            messages.success(request, f"{done} replayed.")
        for failure in failures:
            messages.error(request, f"Failed again and stays on the list. {failure}")


def _replay(request: HttpRequest, letter: Any, reason: str) -> str:
    """Replay a letter and record it in its company's audit trail; return what went wrong."""
    tenant = get_tenant(tenant_id=letter.tenant_id)
    error = replay_letter(tenant, letter)
    data = {"reason": reason, "type": letter.type, "consumer": letter.consumer, "failed": bool(error)}
    with in_tenant(tenant):
        record_audit(
            tenant=tenant,
            actor=actor_of(request),
            action="staff.event_replayed",
            target=str(letter.event_id),
            data=data,
        )
    return error


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
