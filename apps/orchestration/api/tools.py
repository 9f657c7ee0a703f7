"""Tools over HTTP: what there is, and how the tenant has set it up."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.orchestration.api.requests import TenantRequest
from apps.orchestration.definitions import selectors, services
from apps.resilience.errors import NotFoundError

SCOPES = {"GET": "read:workflows", "PUT": "write:settings"}


class ToolSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    summary = serializers.CharField()
    effect = serializers.CharField(help_text="What happens when it is repeated after a crash.")
    is_action = serializers.BooleanField(help_text="Whether compensation and fallback may name it.")
    arguments = serializers.DictField(help_text="JSON Schema of its arguments.")
    outputs = serializers.DictField(child=serializers.CharField(), help_text="Types of its outputs.")
    settings = serializers.DictField(help_text="JSON Schema of what it can be set up with.")
    is_enabled = serializers.BooleanField()
    config = serializers.DictField(help_text="Read by workflows as settings.<tool>.<key>; of secrets, •••.")


class ToolsSerializer(serializers.Serializer[Any]):
    results = ToolSerializer(many=True)


class ToolSettingRequest(serializers.Serializer[Any]):
    is_enabled = serializers.BooleanField(required=False)
    config = serializers.DictField(
        required=False,
        help_text=(
            "Texts under names such as `token`, `password` or `Authorization` are kept sealed and never "
            "shown; one that is sent back as ••• stays as it is."
        ),
    )


class ToolsView(APIView):
    """Every tool with the tenant's settings."""

    required_scopes = SCOPES

    @extend_schema(operation_id="tools_list", tags=["workflows"], responses=ToolsSerializer)
    def get(self, request: TenantRequest) -> Response:
        """List the tools."""
        return Response({"results": selectors.list_tools(tenant=request.tenant)})


class ToolView(APIView):
    """One tool with the tenant's settings."""

    required_scopes = SCOPES

    @extend_schema(operation_id="tools_retrieve", tags=["workflows"], responses=ToolSerializer)
    def get(self, request: TenantRequest, name: str) -> Response:
        """Show a tool."""
        return Response(_tool(request, name))

    @extend_schema(
        operation_id="tools_update", tags=["workflows"], request=ToolSettingRequest, responses=ToolSerializer
    )
    def put(self, request: TenantRequest, name: str) -> Response:
        """Switch a tool on or off, or replace its settings."""
        asked = ToolSettingRequest(data=request.data)
        asked.is_valid(raise_exception=True)
        _tool(request, name)
        services.update_tool_setting(tenant=request.tenant, tool=name, **asked.validated_data)
        return Response(_tool(request, name))


def _tool(request: TenantRequest, name: str) -> dict[str, Any]:
    tools = {tool["name"]: tool for tool in selectors.list_tools(tenant=request.tenant)}
    if name not in tools:
        raise NotFoundError(f"There is no tool {name!r}.")
    return tools[name]
