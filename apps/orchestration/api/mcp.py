"""MCP servers over HTTP, and what tools leave alone because it fails."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.orchestration.api.requests import TenantRequest
from apps.orchestration.callees import list_failing_callees, try_callee_now
from apps.orchestration.mcp import selectors, services
from apps.orchestration.mcp.contracts import McpEffect, ToolState

READS, WRITES = "read:workflows", "write:settings"
TAGS = ["workflows"]


class OfferSerializer(serializers.Serializer[Any]):
    title = serializers.CharField(allow_blank=True)
    description = serializers.CharField(allow_blank=True)
    arguments = serializers.DictField(help_text="JSON Schema by which arguments are checked.")
    outputs = serializers.DictField()
    proposed = serializers.CharField(help_text="The effect that the server's hints speak for.")
    problem = serializers.CharField(allow_blank=True, help_text="Why it cannot be used.")


class McpToolSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()
    state = serializers.ChoiceField([state.value for state in ToolState])
    effect = serializers.ChoiceField([effect.value for effect in McpEffect])
    digest = serializers.CharField(help_text="Names what is offered now, for its approval.")
    offered = OfferSerializer()
    approved = OfferSerializer(allow_null=True)


class McpServerSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()
    url = serializers.CharField()
    header_names = serializers.ListField(child=serializers.CharField())
    is_enabled = serializers.BooleanField()
    refreshed_at = serializers.DateTimeField(allow_null=True)
    error = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()
    tools = McpToolSerializer(many=True)


class McpServersSerializer(serializers.Serializer[Any]):
    results = McpServerSerializer(many=True)


class McpServerChanges(serializers.Serializer[Any]):
    url = serializers.CharField(required=False, max_length=2048)
    headers = serializers.DictField(
        child=serializers.CharField(max_length=4000), required=False, help_text="Kept sealed, never shown."
    )
    is_enabled = serializers.BooleanField(required=False)


class NewMcpServer(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=31, help_text="Workflows write mcp.<name>.<tool>.")
    url = serializers.CharField(max_length=2048, help_text="Where it speaks MCP over streamable HTTP.")
    headers = serializers.DictField(
        child=serializers.CharField(max_length=4000), required=False, help_text="Kept sealed, never shown."
    )


class ApprovalOfTool(serializers.Serializer[Any]):
    digest = serializers.CharField(max_length=64)
    effect = serializers.ChoiceField([effect.value for effect in McpEffect])


class CalleeSerializer(serializers.Serializer[Any]):
    policy = serializers.CharField()
    name = serializers.CharField()
    kind = serializers.CharField()
    failing_for_s = serializers.IntegerField()
    again_in_s = serializers.IntegerField()
    error = serializers.CharField(allow_blank=True, help_text="Class of the last error.")
    failures = serializers.IntegerField()
    is_tried = serializers.BooleanField(help_text="A call goes out to see whether it is well again.")


class CalleesSerializer(serializers.Serializer[Any]):
    results = CalleeSerializer(many=True)


class CalleeRequest(serializers.Serializer[Any]):
    policy = serializers.CharField(max_length=63)
    name = serializers.CharField(max_length=300, allow_blank=True)


class McpServersView(APIView):
    """The company's MCP servers."""

    required_scopes = {"GET": READS, "POST": WRITES}

    @extend_schema(operation_id="mcp_servers_list", tags=TAGS, responses=McpServersSerializer)
    def get(self, request: TenantRequest) -> Response:
        """List the servers with their tools."""
        found = selectors.list_servers(tenant=request.tenant)
        return Response(McpServersSerializer({"results": found}).data)

    @extend_schema(
        operation_id="mcp_servers_create",
        tags=TAGS,
        request=NewMcpServer,
        responses={201: McpServerSerializer},
    )
    def post(self, request: TenantRequest) -> Response:
        """Register a server; a refresh lists its tools."""
        asked = NewMcpServer(data=request.data)
        asked.is_valid(raise_exception=True)
        server = services.add_server(tenant=request.tenant, **asked.validated_data)
        return Response(McpServerSerializer(server).data, status=201)


class McpServerView(APIView):
    """One MCP server."""

    required_scopes = {"GET": READS, "PATCH": WRITES, "DELETE": WRITES}

    @extend_schema(operation_id="mcp_servers_retrieve", tags=TAGS, responses=McpServerSerializer)
    def get(self, request: TenantRequest, server_id: UUID) -> Response:
        """Show a server with its tools."""
        server = selectors.get_server(tenant=request.tenant, server_id=server_id)
        return Response(McpServerSerializer(server).data)

    @extend_schema(
        operation_id="mcp_servers_update", tags=TAGS, request=McpServerChanges, responses=McpServerSerializer
    )
    def patch(self, request: TenantRequest, server_id: UUID) -> Response:
        """Change a server; another address switches its tools off."""
        asked = McpServerChanges(data=request.data)
        asked.is_valid(raise_exception=True)
        server = services.update_server(tenant=request.tenant, server_id=server_id, **asked.validated_data)
        return Response(McpServerSerializer(server).data)

    @extend_schema(operation_id="mcp_servers_delete", tags=TAGS, responses={204: None})
    def delete(self, request: TenantRequest, server_id: UUID) -> Response:
        """Remove a server and its approvals."""
        services.delete_server(tenant=request.tenant, server_id=server_id)
        return Response(status=204)


class RefreshView(APIView):
    """What a server offers now."""

    required_scopes = {"POST": WRITES}

    @extend_schema(operation_id="mcp_servers_refresh", tags=TAGS, request=None, responses=McpServerSerializer)
    def post(self, request: TenantRequest, server_id: UUID) -> Response:
        """Ask the server for its tools; what is new or changed waits for an approval."""
        server = services.refresh_server(tenant=request.tenant, server_id=server_id)
        return Response(McpServerSerializer(server).data)


class ApproveView(APIView):
    """What of a server workflows may use."""

    required_scopes = {"POST": WRITES}

    @extend_schema(
        operation_id="mcp_tools_approve", tags=TAGS, request=ApprovalOfTool, responses=McpServerSerializer
    )
    def post(self, request: TenantRequest, tool_id: UUID) -> Response:
        """Let workflows use a tool as it was offered under this digest."""
        selectors.require_tool(tenant=request.tenant, tool_id=tool_id)
        asked = ApprovalOfTool(data=request.data)
        asked.is_valid(raise_exception=True)
        server = services.approve_tool(
            tenant=request.tenant,
            tool_id=tool_id,
            digest=asked.validated_data["digest"],
            effect=McpEffect(asked.validated_data["effect"]),
        )
        return Response(McpServerSerializer(server).data)


class SwitchOffView(APIView):
    """What of a server workflows may not use."""

    required_scopes = {"POST": WRITES}

    @extend_schema(
        operation_id="mcp_tools_switch_off", tags=TAGS, request=None, responses=McpServerSerializer
    )
    def post(self, request: TenantRequest, tool_id: UUID) -> Response:
        """Keep workflows from using a tool."""
        server = services.switch_off_tool(tenant=request.tenant, tool_id=tool_id)
        return Response(McpServerSerializer(server).data)


class CalleesView(APIView):
    """What tools and models leave alone for a while because it fails."""

    required_scopes = {"GET": READS, "POST": WRITES}

    @extend_schema(operation_id="failing_callees_list", tags=TAGS, responses=CalleesSerializer)
    def get(self, request: TenantRequest) -> Response:
        """List what is left alone now."""
        found = list_failing_callees(tenant=request.tenant)
        return Response(CalleesSerializer({"results": found}).data)

    @extend_schema(
        operation_id="failing_callees_try", tags=TAGS, request=CalleeRequest, responses={204: None}
    )
    def post(self, request: TenantRequest) -> Response:
        """Let the next call to it go out at once."""
        asked = CalleeRequest(data=request.data)
        asked.is_valid(raise_exception=True)
        try_callee_now(tenant=request.tenant, **asked.validated_data)
        return Response(status=204)
