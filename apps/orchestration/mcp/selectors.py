"""Read MCP servers and what of their tools may be used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db.models import F, QuerySet

from apps.orchestration.definitions.contracts import Effect
from apps.orchestration.definitions.language import types as t
from apps.orchestration.definitions.language.types import Type
from apps.orchestration.mcp.contracts import PREFIX, ApprovedTool, Offer, ServerView
from apps.orchestration.mcp.models import McpServer, McpTool
from apps.orchestration.tools.contract import ToolSpec
from apps.resilience.errors import NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.secrets import unseal

_TYPES = {
    "string": t.STRING, "integer": t.INT, "number": t.DOUBLE, "boolean": t.BOOL, "array": t.ANY_LIST,
    "object": t.ANY_MAP,
}  # fmt: skip


def list_servers(*, tenant: TenantRef) -> list[ServerView]:
    """Return the tenant's servers by name, with their tools."""
    with in_tenant(tenant):
        return [
            _with_tools(server) for server in McpServer.objects.prefetch_related("tools").order_by("name")
        ]


def get_server(*, tenant: TenantRef, server_id: UUID) -> ServerView:
    """Return a server with its tools; raises NotFoundError."""
    with in_tenant(tenant):
        server = McpServer.objects.prefetch_related("tools").filter(id=server_id).first()
        if server is None:
            raise NotFoundError("There is no such MCP server.")
        return _with_tools(server)


def require_tool(*, tenant: TenantRef, tool_id: UUID) -> None:
    """Raise NotFoundError where the tenant has no such tool."""
    with in_tenant(tenant):
        if not McpTool.objects.filter(id=tool_id).exists():
            raise NotFoundError("There is no such tool.")


def list_specs(*, tenant: TenantRef) -> list[ToolSpec]:
    """Return the contracts of the tools that workflows may name."""
    with in_tenant(tenant):
        return [_spec(tool) for tool in _usable().select_related("server").order_by("name")]


def find_approved(*, tenant: TenantRef, name: str) -> ApprovedTool:
    """Return what a call of `mcp.<server>.<tool>` needs.

    Raises NotFoundError where it is not approved as it is offered now, and CannotOpen.
    """
    server, _, tool = name.removeprefix(PREFIX).partition(".")
    with in_tenant(tenant):
        found = _usable().select_related("server").filter(server__name=server, name=tool).first()
    if found is None or found.approved is None:
        raise NotFoundError(
            f"The tool {name} is switched off, offered no more, or has changed since it was approved: look "
            "at it on the page Tools."
        )
    sealed = found.server.headers
    headers: dict[str, str] = json.loads(unseal(sealed, tenant.id)) if sealed else {}
    return ApprovedTool(server, found.server.url, headers, tool, Offer.read(found.approved).arguments)


def _usable() -> QuerySet[McpTool]:
    return McpTool.objects.filter(
        server__is_enabled=True, is_enabled=True, is_offered=True, approved_digest=F("digest")
    )


def _with_tools(server: McpServer) -> ServerView:
    tools = sorted(server.tools.all(), key=lambda tool: tool.name)
    return server.view(tuple(tool.view() for tool in tools))


def _spec(tool: McpTool) -> ToolSpec:
    approved = Offer.read(tool.approved or {})
    return ToolSpec(
        name=f"{PREFIX}{tool.server.name}.{tool.name}",
        summary=approved.description[:1000] or approved.title,
        effect=Effect(tool.effect),
        arguments={"properties": {}, **approved.arguments},
        outputs={"text": t.STRING, "data": _data(approved.outputs)},
        digest=f"{tool.approved_digest} {tool.effect}",
    )


def _data(schema: Mapping[str, Any]) -> Type:
    """Find the type of the structured answer; of what a schema leaves open nothing is assumed."""
    properties = schema.get("properties", {})
    fields = {name: _field(described) for name, described in properties.items()}
    return Type("map", fields=fields) if fields else t.DYN


def _field(described: Any) -> Type:
    kind = described.get("type") if isinstance(described, dict) else None
    return _TYPES.get(kind, t.DYN) if isinstance(kind, str) else t.DYN
