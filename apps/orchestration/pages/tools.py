"""Tools: what there is, how it is set up, MCP servers, and what is left alone because it fails."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import redirect, render

from apps.orchestration.callees import list_failing_callees, try_callee_now
from apps.orchestration.definitions import selectors, services
from apps.orchestration.mcp import selectors as servers
from apps.orchestration.mcp import services as mcp
from apps.orchestration.mcp.contracts import McpEffect, ServerView
from apps.orchestration.tool_forms import (
    EFFECTS,
    ApproveForm,
    CalleeForm,
    ServerChangeForm,
    ServerForm,
    ToolForm,
)
from apps.resilience.errors import DomainError, InvalidInput, NotFoundError
from apps.tenants.dashboard import MemberRequest, add_errors, member_page, notify

READ, WRITE = "read:workflows", "write:settings"


@member_page(read=READ, write=WRITE)
def show_tools(request: MemberRequest) -> HttpResponse:
    """List tools, servers and what is left alone; register an MCP server."""
    form = ServerForm(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        try:
            server = mcp.add_server(tenant=request.tenant, **form.cleaned_data)
        except DomainError as error:
            add_errors(form, error)
        else:
            return _refreshed(request, server.id)
    context = {
        "form": form,
        "tools": selectors.list_tools(tenant=request.tenant),
        "servers": servers.list_servers(tenant=request.tenant),
        "failing": list_failing_callees(tenant=request.tenant),
    }
    return render(request, "orchestration/tools.html", context, status=422 if form.errors else 200)


@member_page(read=READ, write=WRITE)
def show_tool(request: MemberRequest, name: str) -> HttpResponse:
    """Show a tool's contract, and set it up."""
    tool = _tool(request, name)
    written = json.dumps(tool["config"], indent=2, ensure_ascii=False) if tool["config"] else ""
    initial = {"is_enabled": tool["is_enabled"], "config": written}
    form = ToolForm(request.POST if request.method == "POST" else None, initial=initial)
    if form.is_bound and form.is_valid():
        try:
            services.update_tool_setting(tenant=request.tenant, tool=name, **form.cleaned_data)
        except DomainError as error:
            add_errors(form, error)
        else:
            notify(request, f"{name} is set up.")
            return redirect("tools")
    context = {
        "tool": tool,
        "form": form,
        "arguments": json.dumps(tool["arguments"], indent=2, ensure_ascii=False),
        "settings": tool["settings"].get("properties", {}).items(),
    }
    return render(request, "orchestration/tool.html", context, status=422 if form.errors else 200)


@member_page(write=WRITE, post_only=True)
def try_now(request: MemberRequest) -> HttpResponse:
    """Let the next call to something that is left alone go out."""
    form = CalleeForm(request.POST)
    if not form.is_valid():
        raise InvalidInput({name: [str(one) for one in errors] for name, errors in form.errors.items()})
    try_callee_now(tenant=request.tenant, **form.cleaned_data)
    notify(request, f"The next call to {form.cleaned_data['name'] or 'it'} goes out.")
    return redirect("tools")


@member_page(read=READ, write=WRITE)
def show_mcp_server(request: MemberRequest, server_id: UUID) -> HttpResponse:
    """Show a server's tools, each as it is offered and as it was approved; change the server."""
    server = servers.get_server(tenant=request.tenant, server_id=server_id)
    initial = {"url": server.url, "is_enabled": server.is_enabled}
    form = ServerChangeForm(request.POST if request.method == "POST" else None, initial=initial)
    if form.is_bound and form.is_valid():
        given = {**form.cleaned_data, "headers": form.cleaned_data["headers"] or None}
        try:
            mcp.update_server(tenant=request.tenant, server_id=server_id, **given)
        except DomainError as error:
            add_errors(form, error)
        else:
            notify(request, "The server is changed.")
            return redirect("mcp_server", server_id)
    context = {"server": server, "form": form, "tools": _shown(server), "effects": EFFECTS}
    return render(request, "orchestration/mcp_server.html", context, status=422 if form.errors else 200)


@member_page(write=WRITE, post_only=True)
def refresh_mcp_server(request: MemberRequest, server_id: UUID) -> HttpResponse:
    """Ask the server for its tools."""
    return _refreshed(request, server_id)


@member_page(write=WRITE, post_only=True)
def delete_mcp_server(request: MemberRequest, server_id: UUID) -> HttpResponse:
    """Remove a server."""
    name = mcp.delete_server(tenant=request.tenant, server_id=server_id)
    notify(request, f"The server {name} is removed: steps that name its tools fail.")
    return redirect("tools")


@member_page(write=WRITE, post_only=True)
def approve_mcp_tool(request: MemberRequest, tool_id: UUID) -> HttpResponse:
    """Let workflows use a tool as it is shown."""
    form = ApproveForm(request.POST)
    servers.require_tool(tenant=request.tenant, tool_id=tool_id)
    if not form.is_valid():
        raise InvalidInput({name: [str(one) for one in errors] for name, errors in form.errors.items()})
    server = mcp.approve_tool(
        tenant=request.tenant,
        tool_id=tool_id,
        digest=form.cleaned_data["digest"],
        effect=McpEffect(form.cleaned_data["effect"]),
    )
    notify(request, "Workflows may use the tool.")
    return redirect("mcp_server", server.id)


@member_page(write=WRITE, post_only=True)
def switch_off_mcp_tool(request: MemberRequest, tool_id: UUID) -> HttpResponse:
    """Keep workflows from using a tool."""
    server = mcp.switch_off_tool(tenant=request.tenant, tool_id=tool_id)
    notify(request, "The tool is switched off: steps that name it fail.")
    return redirect("mcp_server", server.id)


def _refreshed(request: MemberRequest, server_id: UUID) -> HttpResponse:
    server = mcp.refresh_server(tenant=request.tenant, server_id=server_id)
    said = (
        f"{server.name} offers {len(server.tools)} tools."
        if not server.error
        else "The server did not answer."
    )
    notify(request, said)
    return redirect("mcp_server", server_id)


def _shown(server: ServerView) -> list[dict[str, Any]]:
    return [
        {
            "view": tool,
            "name": f"mcp.{server.name}.{tool.name}",
            "arguments": json.dumps(tool.offered.arguments, indent=2, ensure_ascii=False),
            "changes": [(what, _written(before), _written(now)) for what, before, now in tool.changes],
        }
        for tool in server.tools
    ]


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


def _tool(request: MemberRequest, name: str) -> dict[str, Any]:
    tools = {tool["name"]: tool for tool in selectors.list_tools(tenant=request.tenant)}
    if name not in tools:
        raise NotFoundError(f"There is no tool {name!r}.")
    return tools[name]
