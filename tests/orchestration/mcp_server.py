"""A real MCP server of the official package on loopback, in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

TOKEN = "Bearer right"


@dataclass
class RunningMcp:
    """`tickets` is what create_ticket has made; `slow_s` is how long it takes after that."""

    address: str = ""
    server: MCPServer = field(default_factory=lambda: MCPServer("desk"))
    tickets: list[dict[str, Any]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    slow_s: float = 0.0

    @property
    def url(self) -> str:
        return f"http://{self.address}/mcp"

    def offer(self, description: str = "Open a ticket.", **more: Any) -> None:
        with suppress(Exception):
            self.server.remove_tool("create_ticket")

        def create_ticket(title: str, priority: int = 3, ctx: Context | None = None) -> dict[str, Any]:
            meta = ctx.request_context.meta if ctx else None
            self.tickets.append({"title": title, "meta": dict(meta or {})})
            time.sleep(self.slow_s)
            return {"number": len(self.tickets), "title": title}

        self.server.add_tool(create_ticket, description=description, **more)


@contextmanager
def running_mcp() -> Iterator[RunningMcp]:
    running = RunningMcp()
    running.offer()

    @running.server.tool(annotations=ToolAnnotations(read_only_hint=True), description="Count the tickets.")
    def count_tickets() -> str:
        return f"{len(running.tickets)} tickets"

    @running.server.tool(description="Always fails.")
    def fail() -> str:
        raise ToolError("the printer is on fire")

    inner = running.server.streamable_http_app(stateless_http=True)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            headers = {name.decode(): value.decode() for name, value in scope["headers"]}
            running.requests.append(scope["method"])
            if headers.get("authorization") != TOKEN:
                await send({"type": "http.response.start", "status": 401, "headers": []})
                await send({"type": "http.response.body", "body": b""})
                return
        await inner(scope, receive, send)

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="on", loop="asyncio"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    running.address = f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield running
    finally:
        server.should_exit = True
        thread.join(10)
