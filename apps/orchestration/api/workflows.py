"""Workflow definitions over HTTP: YAML in, problems with their places or versions out."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_serializer
from rest_framework import generics, serializers, status
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.views import APIView

from apps.orchestration.api.requests import TenantRequest, YamlParser, YamlRenderer
from apps.orchestration.definitions import selectors, services
from apps.orchestration.definitions.contracts import TriggerDefinition, VersionState
from apps.orchestration.definitions.language.schema import workflow_schema
from apps.orchestration.definitions.models import Workflow, WorkflowVersion
from apps.orchestration.scheduling import list_next_moments
from apps.tenants.permissions import require

STATES = [(state.value, state.value) for state in VersionState]
SCOPES = {"GET": "read:workflows", "POST": "write:workflows", "PUT": "write:workflows"}
PARSERS: list[Any] = [*api_settings.DEFAULT_PARSER_CLASSES[:1], YamlParser]


class SourceSerializer(serializers.Serializer[Any]):
    source = serializers.CharField(  # type: ignore[assignment]
        help_text="The workflow's YAML.", trim_whitespace=False, max_length=65_536
    )


class VersionSerializer(serializers.Serializer[Any]):
    workflow = serializers.CharField()
    number = serializers.IntegerField()
    version = serializers.CharField(help_text="The author's label.")
    hash = serializers.CharField()
    state = serializers.ChoiceField(STATES)
    source = serializers.CharField()  # type: ignore[assignment]
    created_at = serializers.DateTimeField()
    published_at = serializers.DateTimeField(allow_null=True)


class TriggerSerializer(serializers.Serializer[Any]):
    type = serializers.CharField()
    event = serializers.CharField()
    endpoint = serializers.CharField()
    workflow = serializers.CharField(help_text="Whose runs' events are meant.")
    cron = serializers.CharField()
    timezone = serializers.CharField()
    every = serializers.CharField()
    next_at = serializers.SerializerMethodField(help_text="When a schedule starts the next runs.")

    def get_next_at(self, trigger: TriggerDefinition) -> list[dt.datetime]:
        """Return the next three moments."""
        return list_next_moments(trigger)


class WorkflowSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    description = serializers.CharField()
    triggers = TriggerSerializer(many=True)
    published = VersionSerializer(allow_null=True)
    draft = VersionSerializer(allow_null=True)
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


@extend_schema_serializer(component_name="WorkflowProblem")  # `Problem` is the answer to an error
class ProblemSerializer(serializers.Serializer[Any]):
    line = serializers.IntegerField()
    column = serializers.IntegerField()
    path = serializers.CharField()
    message = serializers.CharField()
    fix = serializers.CharField()


class ValidationSerializer(serializers.Serializer[Any]):
    is_valid = serializers.BooleanField()  # type: ignore[assignment]
    problems = ProblemSerializer(many=True)


class PublishRequest(serializers.Serializer[Any]):
    number = serializers.IntegerField(
        required=False, min_value=1, max_value=2_000_000_000, help_text="The draft, unless given."
    )
    override_reason = serializers.CharField(
        required=False,
        default="",
        allow_blank=True,
        max_length=500,
        help_text="Publish past the replay gate, and why; needs `write:gates`, kept in the audit trail.",
    )


def source_of(request: TenantRequest) -> str:
    """Return the YAML that was sent, bare or as JSON."""
    sent = SourceSerializer(data=request.data)
    sent.is_valid(raise_exception=True)
    return str(sent.validated_data["source"])


YAML_BODY = {"application/yaml": {"type": "string"}, "application/json": SourceSerializer}


class WorkflowsView(generics.ListAPIView[Any]):
    """The tenant's workflows."""

    required_scopes = SCOPES
    parser_classes = PARSERS
    serializer_class = WorkflowSerializer

    def get_queryset(self) -> QuerySet[Workflow]:
        """Return the workflows with their versions."""
        return selectors.query_workflows().order_by()

    @extend_schema(operation_id="workflows_list", tags=["workflows"])
    def get(self, request: TenantRequest, *args: Any, **kwargs: Any) -> Response:  # type: ignore[override]
        """List workflows, newest first."""
        page = self.paginate_queryset(self.get_queryset()) or []
        views = [selectors.workflow_view(workflow) for workflow in page]
        return self.get_paginated_response(self.get_serializer(views, many=True).data)

    @extend_schema(
        operation_id="workflows_save_draft",
        tags=["workflows"],
        request=YAML_BODY,
        responses={201: VersionSerializer},
    )
    def post(self, request: TenantRequest) -> Response:
        """Save a workflow's draft; its name is in the YAML. The draft may still have problems."""
        version = services.save_draft(tenant=request.tenant, source=source_of(request))
        return Response(VersionSerializer(version).data, status=status.HTTP_201_CREATED)


class WorkflowView(APIView):
    """One workflow."""

    required_scopes = SCOPES
    parser_classes = PARSERS

    @extend_schema(operation_id="workflows_retrieve", tags=["workflows"], responses=WorkflowSerializer)
    def get(self, request: TenantRequest, name: str) -> Response:
        """Show a workflow with its published version and its draft."""
        return Response(WorkflowSerializer(selectors.get_workflow(tenant=request.tenant, name=name)).data)

    @extend_schema(
        operation_id="workflows_replace_draft",
        tags=["workflows"],
        request=YAML_BODY,
        responses=VersionSerializer,
    )
    def put(self, request: TenantRequest, name: str) -> Response:
        """Replace the draft of a workflow."""
        version = services.save_draft(tenant=request.tenant, source=source_of(request), name=name)
        return Response(VersionSerializer(version).data)


class ValidateView(APIView):
    """A check without any effect."""

    required_scopes = {"POST": "read:workflows"}
    parser_classes = PARSERS

    @extend_schema(
        operation_id="workflows_validate",
        tags=["workflows"],
        request=YAML_BODY,
        responses=ValidationSerializer,
    )
    def post(self, request: TenantRequest) -> Response:
        """Tell every problem of a YAML with its line, column and what to write instead."""
        problems = services.validate_workflow(tenant=request.tenant, source=source_of(request))
        return Response(ValidationSerializer({"is_valid": not problems, "problems": problems}).data)


class LanguageView(APIView):
    """The language's JSON Schema, by which editors complete and check."""

    required_scopes = {"GET": "read:workflows"}

    @extend_schema(operation_id="workflows_schema", tags=["workflows"], responses=OpenApiTypes.OBJECT)
    def get(self, request: TenantRequest) -> Response:
        """Return the JSON Schema."""
        return Response(workflow_schema())


class VersionsView(generics.ListAPIView[Any]):
    """The versions of a workflow."""

    required_scopes = SCOPES
    serializer_class = VersionSerializer

    def get_queryset(self) -> QuerySet[WorkflowVersion]:
        """Return the versions of the named workflow."""
        return WorkflowVersion.objects.select_related("workflow").filter(
            workflow__name=self.kwargs.get("name")
        )

    @extend_schema(operation_id="workflow_versions_list", tags=["workflows"])
    def get(self, request: TenantRequest, name: str) -> Response:  # type: ignore[override]
        """List the versions, newest first."""
        selectors.get_workflow(tenant=request.tenant, name=name)
        page = self.paginate_queryset(self.get_queryset()) or []
        views = [selectors.version_view(version) for version in page]
        return self.get_paginated_response(self.get_serializer(views, many=True).data)


class VersionView(APIView):
    """One version; as YAML with `Accept: application/yaml`."""

    required_scopes = SCOPES
    renderer_classes = [JSONRenderer, YamlRenderer]

    @extend_schema(
        operation_id="workflow_versions_retrieve",
        tags=["workflows"],
        responses={
            (200, "application/json"): VersionSerializer,
            (200, "application/yaml"): OpenApiResponse(OpenApiTypes.STR, "The source as it was written."),
        },
    )
    def get(self, request: TenantRequest, name: str, number: int) -> Response:
        """Show a version."""
        version = selectors.get_version(tenant=request.tenant, name=name, number=number)
        return Response(VersionSerializer(version).data)


class PublishView(APIView):
    """Makes a version the one that new runs begin with."""

    required_scopes = SCOPES

    @extend_schema(
        operation_id="workflows_publish",
        tags=["workflows"],
        request=PublishRequest,
        responses=VersionSerializer,
    )
    def post(self, request: TenantRequest, name: str) -> Response:
        """Publish the draft, or the version with the given number; runs under way keep theirs."""
        asked = PublishRequest(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        if given["override_reason"]:
            require(request.auth, "write:gates")
        version = services.publish_workflow(
            tenant=request.tenant,
            name=name,
            number=given.get("number"),
            override_reason=given["override_reason"],
        )
        return Response(VersionSerializer(version).data)


class RollBackView(APIView):
    """Returns to the version that was published before."""

    required_scopes = SCOPES

    @extend_schema(
        operation_id="workflows_roll_back", tags=["workflows"], request=None, responses=VersionSerializer
    )
    def post(self, request: TenantRequest, name: str) -> Response:
        """Publish the version again that was published before the present one."""
        return Response(VersionSerializer(services.roll_back(tenant=request.tenant, name=name)).data)
