"""Write MCP servers: register, refresh, approve their tools one by one, remove."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.orchestration.adapters import mcp_client
from apps.orchestration.mcp.contracts import SERVER_NAME, TOOL_NAME, McpEffect, Offer, ServerView, ToolState
from apps.orchestration.mcp.models import McpServer, McpTool
from apps.orchestration.mcp.ports import Address, McpError
from apps.orchestration.mcp.schemas import UnusableSchema, make_safe
from apps.orchestration.mcp.selectors import get_server
from apps.resilience import outbound
from apps.resilience.errors import ConflictError, InvalidInput, NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.secrets import seal, unseal
from apps.tenants.services import record_audit

MAX_SERVERS, MAX_HEADERS = 20, 10
REFRESH_TIMEOUT_S = 20.0
RESERVED_HEADERS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "accept", "content-type"}
)


def add_server(
    *, tenant: TenantRef, name: str, url: str, headers: Mapping[str, str] | None = None
) -> ServerView:
    """Register a server; its tools are there after a refresh. Raises InvalidInput, ConflictError."""
    if not SERVER_NAME.fullmatch(name):
        raise InvalidInput({"name": ["Use a-z, 0-9 and _, at most 31, beginning with a letter."]})
    given = _checked(url, headers or {})
    with in_tenant(tenant):
        if McpServer.objects.count() >= MAX_SERVERS:
            raise ConflictError(f"There are {MAX_SERVERS} MCP servers already: remove one first.")
        server = McpServer(name=name, url=url, **_sealed(tenant, given))
        try:
            with transaction.atomic():
                server.save(force_insert=True)
        except IntegrityError:
            raise InvalidInput({"name": ["There is a server of this name already."]}) from None
        record_audit(tenant=tenant, action="mcp_server.added", target=name, data={"url": url})
        return server.view()


def update_server(
    *,
    tenant: TenantRef,
    server_id: UUID,
    url: str | None = None,
    headers: Mapping[str, str] | None = None,
    is_enabled: bool | None = None,
) -> ServerView:
    """Change what is given; another address takes the approvals back. Raises NotFoundError, InvalidInput."""
    with in_tenant(tenant):
        server = _lock(server_id)
        given = _checked(server.url if url is None else url, headers or {})
        before = {"url": server.url, "headers": server.header_names, "is_enabled": server.is_enabled}
        if url is not None and url != server.url:
            server.url = url
            server.tools.update(is_enabled=False)
        if headers is not None:
            for field, value in _sealed(tenant, given).items():
                setattr(server, field, value)
        server.is_enabled = server.is_enabled if is_enabled is None else is_enabled
        server.save()
        after = {"url": server.url, "headers": server.header_names, "is_enabled": server.is_enabled}
        record_audit(
            tenant=tenant,
            action="mcp_server.changed",
            target=server.name,
            data={"before": before, "after": after},
        )
    return get_server(tenant=tenant, server_id=server_id)


def delete_server(*, tenant: TenantRef, server_id: UUID) -> str:
    """Remove a server with its approvals and return its name; steps that name its tools fail.

    Raises NotFoundError.
    """
    with in_tenant(tenant):
        server = _lock(server_id)
        record_audit(tenant=tenant, action="mcp_server.removed", target=server.name, data={"url": server.url})
        server.delete()
        return server.name


def refresh_server(*, tenant: TenantRef, server_id: UUID) -> ServerView:
    """Ask the server for its tools and keep what it says; what is new or changed waits for an approval.

    What goes wrong is kept with the server and shown. Raises NotFoundError.
    """
    with in_tenant(tenant):
        server = McpServer.objects.filter(id=server_id).first()
        if server is None:
            raise NotFoundError("There is no such MCP server.")
        headers = json.loads(unseal(server.headers, tenant.id)) if server.headers else {}
        address = Address(server.url, headers)
    try:
        listed, error = mcp_client.list_tools(address, REFRESH_TIMEOUT_S), ""
    except McpError as problem:
        listed, error = None, str(problem)
    with in_tenant(tenant):
        server = _lock(server_id)
        server.refreshed_at, server.error = timezone.now(), error
        server.save(update_fields=["refreshed_at", "error"])
        told = _keep(server, listed) if listed is not None else {"error": error}
        record_audit(tenant=tenant, action="mcp_server.refreshed", target=server.name, data=told)
    return get_server(tenant=tenant, server_id=server_id)


def approve_tool(*, tenant: TenantRef, tool_id: UUID, digest: str, effect: McpEffect) -> ServerView:
    """Let workflows use a tool as it was shown: `digest` names that. Raises NotFoundError, ConflictError."""
    with in_tenant(tenant):
        tool = _lock_tool(tool_id)
        if tool.digest != digest:
            raise ConflictError("The tool has changed meanwhile: look at it again.")
        if tool.state in (ToolState.UNUSABLE, ToolState.GONE):
            raise ConflictError("This tool cannot be used: " + (tool.offered.get("problem") or "it is gone."))
        before = {"digest": tool.approved_digest, "effect": tool.effect, "is_enabled": tool.is_enabled}
        tool.approved, tool.approved_digest = tool.offered, tool.digest
        tool.is_enabled, tool.effect = True, effect.value
        tool.save()
        after = {"digest": tool.approved_digest, "effect": tool.effect, "is_enabled": True}
        _record(tenant, tool, "approved", {"before": before, "after": after})
        return get_server(tenant=tenant, server_id=tool.server_id)


def switch_off_tool(*, tenant: TenantRef, tool_id: UUID) -> ServerView:
    """Keep workflows from using a tool; steps that name it fail. Raises NotFoundError."""
    with in_tenant(tenant):
        tool = _lock_tool(tool_id)
        if tool.is_enabled:
            tool.is_enabled = False
            tool.save(update_fields=["is_enabled"])
            _record(tenant, tool, "switched_off", {})
        return get_server(tenant=tenant, server_id=tool.server_id)


def _record(tenant: TenantRef, tool: McpTool, what: str, data: dict[str, Any]) -> None:
    record_audit(
        tenant=tenant, action=f"mcp_tool.{what}", target=f"{tool.server.name}.{tool.name}", data=data
    )


def _lock(server_id: UUID) -> McpServer:
    server = McpServer.objects.select_for_update().filter(id=server_id).first()
    if server is None:
        raise NotFoundError("There is no such MCP server.")
    return server


def _lock_tool(tool_id: UUID) -> McpTool:
    rows = McpTool.objects.select_related("server").select_for_update(of=("self",))
    tool = rows.filter(id=tool_id).first()
    if tool is None:
        raise NotFoundError("There is no such tool.")
    return tool


def _checked(url: str, headers: Mapping[str, str]) -> dict[str, str]:
    try:
        outbound.check_address(url)
    except outbound.Refused as error:
        raise InvalidInput({"url": [str(error)]}) from None
    wrong = [
        name
        for name, value in headers.items()
        if name.lower() in RESERVED_HEADERS
        or not name.replace("-", "").replace("_", "").isalnum()
        or not (isinstance(value, str) and value.isascii() and value.isprintable() and len(value) <= 4000)
    ]
    if wrong or len(headers) > MAX_HEADERS:
        raise InvalidInput(
            {"headers": [f"At most {MAX_HEADERS} headers, each a name and visible ASCII text."]}
        )
    return dict(headers)


def _sealed(tenant: TenantRef, headers: dict[str, str]) -> dict[str, Any]:
    sealed = seal(json.dumps(headers), tenant.id) if headers else ""
    return {"headers": sealed, "header_names": sorted(headers)}


def _keep(server: McpServer, listed: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Store what is offered now; returns what is new, changed and gone, by name."""
    known = {tool.name: tool for tool in server.tools.select_for_update()}
    told: dict[str, list[str]] = {"new": [], "changed": [], "gone": []}
    offered = {str(one.get("name", ""))[:128]: one for one in listed}
    for name, raw in offered.items():
        if not TOOL_NAME.fullmatch(name):
            continue
        digest = hashlib.sha256(json.dumps(raw, sort_keys=True).encode()).hexdigest()
        tool = known.get(name)
        if tool is None:
            tool = McpTool(server=server, name=name)
            told["new"].append(name)
        elif tool.digest != digest:
            told["changed"].append(name)
        tool.offered, tool.digest, tool.is_offered = vars(_offer(name, raw)), digest, True
        tool.save()
    for name, tool in known.items():
        if name not in offered and tool.is_offered:
            told["gone"].append(name)
            tool.is_offered = False
            tool.save(update_fields=["is_offered"])
    return told


def _offer(name: str, raw: Mapping[str, Any]) -> Offer:
    hints = raw.get("annotations") or {}
    shown: dict[str, Any] = {
        "name": name,
        "title": _clean(raw.get("title") or hints.get("title") or "", 200),
        "description": _clean(raw.get("description") or "", 4000),
        "proposed": _proposed(hints),
    }
    try:
        return Offer(
            **shown,
            arguments=make_safe(raw.get("inputSchema") or {}),
            outputs=_outputs(raw.get("outputSchema")),
        )
    except UnusableSchema as error:
        return Offer(**shown, problem=str(error))


def _outputs(schema: Any) -> dict[str, Any]:
    """Keep what an answer looks like, where that can be read; it is not checked."""
    try:
        return make_safe(schema) if schema else {}
    except UnusableSchema:
        return {}


def _proposed(hints: Mapping[str, Any]) -> str:
    if hints.get("readOnlyHint") is True:
        return McpEffect.NONE.value
    return (McpEffect.IDEMPOTENT if hints.get("idempotentHint") is True else McpEffect.NEITHER).value


def _clean(text: Any, max_chars: int) -> str:
    """Keep what can be seen: a description must not hide words from whoever approves it."""
    return "".join(sign for sign in str(text) if sign.isprintable() or sign == "\n")[:max_chars]
