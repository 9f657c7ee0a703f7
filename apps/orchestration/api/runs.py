"""Runs over HTTP: start, watch, cancel, retry, decide."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers, status
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.views import APIView

from apps.orchestration import contracts, mailbox, selectors, services
from apps.orchestration.api.requests import TenantRequest, actor_of
from apps.orchestration.contracts import Priority, RunStatus, StepStatus
from apps.orchestration.definitions.language.source import MAX_BYTES
from apps.orchestration.masking import show_to
from apps.orchestration.models import AgentRun, RunEvent

SCOPES = {"GET": "read:runs", "POST": "write:runs"}
STATUSES = [(value.value, value.value) for value in RunStatus]
STEP_STATES = [(value.value, value.value) for value in StepStatus]
PRIORITIES = [(value.value, value.value) for value in Priority]
MAX_WAIT_S = 30.0


class UndoSerializer(serializers.Serializer[Any]):
    action = serializers.CharField()
    state = serializers.ChoiceField(STEP_STATES)
    attempts = serializers.IntegerField()
    output = serializers.DictField(allow_null=True)
    error = serializers.CharField(allow_blank=True)


class AwaitedSerializer(serializers.Serializer[Any]):
    kind = serializers.ChoiceField([(name, name) for name in ("for", "signal", "approval", "run")])
    what = serializers.CharField(help_text="The time, the signal's name, what is to be approved, or a run.")
    until = serializers.DateTimeField(allow_null=True, help_text="When the step goes on without it.")


class StepSerializer(serializers.Serializer[Any]):
    id = serializers.CharField(help_text="Its path: `refund`, `ask#2` or `each_order[3].refund`.")
    type = serializers.CharField()
    tool = serializers.CharField(allow_blank=True)
    state = serializers.ChoiceField(STEP_STATES)
    attempts = serializers.IntegerField()
    duration_ms = serializers.IntegerField(allow_null=True)
    output = serializers.DictField(allow_null=True)
    error = serializers.CharField(allow_blank=True)
    condition = serializers.DictField(allow_null=True, help_text="Its text, what it read, its result.")
    undo = UndoSerializer(allow_null=True)
    awaited = AwaitedSerializer(allow_null=True)
    reason = serializers.CharField(allow_blank=True, help_text="Why it was left out.")
    child_run_id = serializers.UUIDField(allow_null=True, help_text="The run of a subworkflow step.")


class RunSummarySerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    workflow = serializers.CharField()
    version = serializers.CharField()
    hash = serializers.CharField(help_text="The version that this run keeps.")
    status = serializers.ChoiceField(STATUSES)
    input = serializers.DictField()
    output = serializers.DictField(allow_null=True)
    error = serializers.CharField(allow_blank=True)
    conversation_id = serializers.UUIDField(allow_null=True)
    message_id = serializers.UUIDField(allow_null=True)
    replay_of = serializers.UUIDField(allow_null=True, help_text="The run whose input this one repeats.")
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    due_at = serializers.DateTimeField(allow_null=True, help_text="When it goes on at the latest.")
    priority = serializers.ChoiceField(PRIORITIES)
    is_cancelling = serializers.BooleanField()
    parent_run_id = serializers.UUIDField(allow_null=True, help_text="The run that this is a step of.")
    parent_step = serializers.CharField(allow_blank=True)
    is_pausing = serializers.BooleanField(help_text="It is paused as soon as what is under way is done.")


class RunSerializer(RunSummarySerializer):
    has_history = serializers.BooleanField(
        help_text="`false`: its steps and events were removed for their age, so `steps` is empty."
    )
    steps = StepSerializer(many=True)
    undoable = serializers.ListField(
        child=serializers.CharField(),
        help_text="Steps that `compensate` or `cancel` would undo, in this order.",
    )


class RunEventSerializer(serializers.Serializer[Any]):
    seq = serializers.IntegerField()
    kind = serializers.CharField()
    data = serializers.DictField()  # type: ignore[assignment]
    created_at = serializers.DateTimeField()


class StartRequest(serializers.Serializer[Any]):
    workflow = serializers.CharField(max_length=63)
    input = serializers.DictField(default=dict)
    priority = serializers.ChoiceField(
        PRIORITIES, required=False, help_text="Which of your due runs go first; else what the workflow says."
    )

    def validate_input(self, value: dict[str, Any]) -> dict[str, Any]:
        """Refuse what is too long to keep."""
        if len(str(value)) > MAX_BYTES:
            raise serializers.ValidationError(f"Use at most {MAX_BYTES // 1024} KiB.")
        return value


class RunFilter(serializers.Serializer[Any]):
    status = serializers.ChoiceField(STATUSES, required=False)
    workflow = serializers.CharField(required=False, max_length=63)
    conversation_id = serializers.UUIDField(required=False)
    replay_of = serializers.UUIDField(required=False)


class WaitSerializer(serializers.Serializer[Any]):
    wait = serializers.FloatField(
        required=False, min_value=0, max_value=MAX_WAIT_S, help_text="Seconds to wait for the run's end."
    )


class ReasonRequest(serializers.Serializer[Any]):
    reason = serializers.CharField(
        required=False, default="", allow_blank=True, max_length=500, help_text="Kept in the audit trail."
    )


OUTCOMES = [(name, name) for name in ("done", "not_done", "undone")]


class ResolveRequest(serializers.Serializer[Any]):
    step = serializers.CharField(max_length=400)
    outcome = serializers.ChoiceField(
        OUTCOMES,
        help_text="`done` or `not_done` for an unknown step; `undone` for a stuck one, undone by hand.",
    )
    output = serializers.DictField(required=False, help_text="What the step gave, when it was done.")


class RunsView(generics.ListAPIView[Any]):
    """The tenant's runs."""

    keys_itself = "wait"  # by the run's id
    required_scopes = SCOPES
    serializer_class = RunSummarySerializer

    def get_queryset(self) -> QuerySet[AgentRun]:
        """Return the runs."""
        return AgentRun.objects.all()

    @extend_schema(operation_id="runs_list", tags=["runs"], parameters=[RunFilter])
    def get(self, request: TenantRequest, *args: Any, **kwargs: Any) -> Response:  # type: ignore[override]
        """List runs, newest first."""
        asked = RunFilter(data=request.query_params)
        asked.is_valid(raise_exception=True)
        page = self.paginate_queryset(selectors.filter_runs(**asked.validated_data)) or []
        runs = self.get_serializer([selectors.summarise(run) for run in page], many=True).data
        return self.get_paginated_response(show_to(request.auth, runs))

    @extend_schema(
        operation_id="runs_start",
        tags=["runs"],
        request=StartRequest,
        parameters=[WaitSerializer],
        responses={201: RunSerializer},
    )
    def post(self, request: TenantRequest) -> Response:
        """Start a run of a published workflow; with `?wait=SECONDS` it is executed at once."""
        asked, waiting = StartRequest(data=request.data), WaitSerializer(data=request.query_params)
        asked.is_valid(raise_exception=True)
        waiting.is_valid(raise_exception=True)
        wait_s = waiting.validated_data.get("wait", 0.0)
        priority = asked.validated_data.get("priority")
        run = services.start_run(
            tenant=request.tenant,
            workflow_name=asked.validated_data["workflow"],
            input=asked.validated_data["input"],
            run_id=request.write_id,
            claim_inline=wait_s > 0,
            priority=Priority(priority) if priority else None,
        )
        if wait_s > 0:
            services.execute_or_await(tenant=request.tenant, run_id=run.id, wait_s=wait_s)
            run = selectors.get_run(tenant=request.tenant, run_id=run.id)
        return show(request, run, status.HTTP_201_CREATED)


class RunView(APIView):
    """One run."""

    required_scopes = SCOPES

    @extend_schema(operation_id="runs_retrieve", tags=["runs"], responses=RunSerializer)
    def get(self, request: TenantRequest, run_id: UUID) -> Response:
        """Show a run: what was done, undone, skipped, is stuck or unknown."""
        return show(request, selectors.get_run(tenant=request.tenant, run_id=run_id))


class EventPages(api_settings.DEFAULT_PAGINATION_CLASS):  # type: ignore[name-defined]
    """Oldest first: a history is read from its beginning."""

    ordering = "seq"


class RunEventsView(generics.ListAPIView[Any]):
    """The recorded events of a run."""

    required_scopes = SCOPES
    serializer_class = RunEventSerializer
    pagination_class = EventPages

    def get_queryset(self) -> QuerySet[RunEvent]:
        """Return the run's events."""
        return RunEvent.objects.filter(run_id=self.kwargs.get("run_id"))

    @extend_schema(operation_id="run_events_list", tags=["runs"])
    def get(self, request: TenantRequest, *args: Any, **kwargs: Any) -> Response:  # type: ignore[override]
        """List a run's events, oldest first."""
        selectors.list_run_events(tenant=request.tenant, run_id=kwargs["run_id"], limit=1)
        page = self.paginate_queryset(self.get_queryset()) or []
        return self.get_paginated_response(show_to(request.auth, self.get_serializer(page, many=True).data))


class CancelView(APIView):
    """Asks a run to stop."""

    required_scopes = SCOPES

    @extend_schema(operation_id="runs_cancel", tags=["runs"], request=ReasonRequest, responses=RunSerializer)
    def post(self, request: TenantRequest, run_id: UUID) -> Response:
        """Stop a run and undo what it has done, where that is declared."""
        given = reason_of(request)
        run = services.cancel_run(tenant=request.tenant, run_id=run_id, actor=actor_of(request), **given)
        return show(request, run)


class ResolveView(APIView):
    """A human's word on a step whose outcome was lost, or whose undoing is stuck."""

    required_scopes = SCOPES

    @extend_schema(
        operation_id="runs_resolve", tags=["runs"], request=ResolveRequest, responses=RunSerializer
    )
    def post(self, request: TenantRequest, run_id: UUID) -> Response:
        """Say whether a step with an unknown outcome took effect, or was undone by hand; the run goes on."""
        asked = ResolveRequest(data=request.data)
        asked.is_valid(raise_exception=True)
        step, outcome = asked.validated_data["step"], asked.validated_data["outcome"]
        which: dict[str, Any] = {"tenant": request.tenant, "run_id": run_id, "step_id": step}
        if outcome == "undone":
            run = services.settle_undo(**which, actor=actor_of(request))
        else:
            output = asked.validated_data.get("output")
            run = services.resolve_step(
                **which, is_done=outcome == "done", output=output, actor=actor_of(request)
            )
        return show(request, run)


class SignalRequest(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=63)
    payload = serializers.DictField(
        default=dict, help_text="What the step gives as its output `payload`; at most 64 KiB."
    )

    def validate_payload(self, value: dict[str, Any]) -> dict[str, Any]:
        """Refuse what is too long to keep."""
        if len(str(value)) > MAX_BYTES:
            raise serializers.ValidationError(f"Use at most {MAX_BYTES // 1024} KiB.")
        return value


class SignalView(APIView):
    """Tells a run of something that it waits for."""

    required_scopes = SCOPES

    @extend_schema(operation_id="runs_signal", tags=["runs"], request=SignalRequest, responses=RunSerializer)
    def post(self, request: TenantRequest, run_id: UUID) -> Response:
        """Send a signal; one that comes before its step waits for it is kept until then."""
        asked = SignalRequest(data=request.data)
        asked.is_valid(raise_exception=True)
        run = mailbox.send_signal(
            tenant=request.tenant, run_id=run_id, actor=actor_of(request), **asked.validated_data
        )
        return show(request, run)


class ApprovalRequest(serializers.Serializer[Any]):
    step = serializers.CharField(max_length=400)
    approved = serializers.BooleanField()
    comment = serializers.CharField(required=False, default="", allow_blank=True, max_length=500)


class ApprovalView(APIView):
    """Answers a run that asks for an approval."""

    required_scopes = SCOPES

    @extend_schema(
        operation_id="runs_approve", tags=["runs"], request=ApprovalRequest, responses=RunSerializer
    )
    def post(self, request: TenantRequest, run_id: UUID) -> Response:
        """Approve or decline; the run goes on either way, and its next steps read which it was."""
        asked = ApprovalRequest(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        run = mailbox.answer_approval(
            tenant=request.tenant,
            run_id=run_id,
            step_id=given["step"],
            is_approved=given["approved"],
            comment=given["comment"],
            actor=actor_of(request),
        )
        return show(request, run)


def show(request: TenantRequest, run: contracts.RunView, code: int = status.HTTP_200_OK) -> Response:
    """Answer with a run as the caller may see it."""
    return Response(show_to(request.auth, RunSerializer(run).data), status=code)


def reason_of(request: TenantRequest) -> dict[str, str]:
    """Return why somebody acts on a run, as the services take it."""
    asked = ReasonRequest(data=request.data)
    asked.is_valid(raise_exception=True)
    return dict(asked.validated_data)
