"""Client of the Model Context Protocol by its official package, which need not be installed.

Every request goes through the guard of `outbound`, one at a time and bounded: an address is resolved, checked
and connected to in one step. What would stay open for the server to speak of itself is not offered.
"""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

import anyio.to_thread
import httpx2

from apps.orchestration.mcp.ports import Address, Called, McpError
from apps.resilience import outbound

MAX_BYTES = 1024 * 1024
MAX_TEXT_CHARS = 100_000
MAX_PAGES, MAX_TOOLS = 20, 200
OWN_HEADERS = frozenset({"host", "connection", "content-length", "transfer-encoding", "accept-encoding"})
NOT_INSTALLED = "MCP servers need the package mcp: ask whoever runs this installation to install it."
KEY = "aiaas/effect_key"
T = TypeVar("T")


def is_installed() -> bool:
    """Tell whether the package is there."""
    return importlib.util.find_spec("mcp") is not None


def list_tools(address: Address, timeout_s: float) -> list[dict[str, Any]]:
    """Return every tool as the server describes it; raises McpError."""

    async def ask(session: Any, _guard: _Guard) -> list[dict[str, Any]]:
        import mcp.types as t

        found: list[dict[str, Any]] = []
        cursor = None
        for _ in range(MAX_PAGES):
            params = t.PaginatedRequestParams(cursor=cursor) if cursor else None
            # Asked without the session's own reading, which would keep and compile what a stranger sends.
            page = await session.send_request(t.ListToolsRequest(params=params), t.ListToolsResult)
            found += [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in page.tools]
            cursor = page.next_cursor
            if not cursor or len(found) > MAX_TOOLS:
                break
        return found[:MAX_TOOLS]

    return _run(address, timeout_s, ask)


def call_tool(
    address: Address, name: str, arguments: dict[str, Any], effect_key: str, timeout_s: float
) -> Called:
    """Call a tool, the effect's key in the request's metadata; raises McpError."""

    async def ask(session: Any, guard: _Guard) -> Called:
        import mcp.types as t

        params = t.CallToolRequestParams(name=name, arguments=arguments, _meta=cast("Any", {KEY: effect_key}))
        guard.is_calling = True
        result = await session.send_request(t.CallToolRequest(params=params), t.CallToolResult)
        guard.is_calling = False
        texts = [block.text for block in result.content if isinstance(block, t.TextContent)]
        text = "\n".join(texts).replace("\x00", "")[:MAX_TEXT_CHARS]
        return Called(text, result.structured_content, bool(result.is_error))

    return _run(address, timeout_s, ask)


class _Guard(httpx2.AsyncBaseTransport):
    """Sends the package's requests through `outbound`, and knows how far a call has come."""

    def __init__(self, address: Address, timeout_s: float) -> None:
        self._headers, self._timeout_s = address.headers, timeout_s
        self.is_calling, self.was_sent = False, False
        self.failure: outbound.OutboundError | None = None
        self.status = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET":  # a stream for whatever the server might want to tell
            return httpx2.Response(405, request=request)
        content = await request.aread()
        headers = {name: value for name, value in request.headers.items() if name.lower() not in OWN_HEADERS}
        limits = outbound.Limits(total_s=self._timeout_s, step_s=self._timeout_s, max_bytes=MAX_BYTES)
        self.was_sent = self.was_sent or self.is_calling
        try:
            answer = await anyio.to_thread.run_sync(
                lambda: outbound.send(
                    request.method,
                    str(request.url),
                    headers={**headers, **self._headers},
                    content=content,
                    limits=limits,
                )
            )
        except outbound.OutboundError as error:
            if isinstance(error, outbound.Refused | outbound.NotReached):
                self.was_sent = False
            self.failure = error
            raise httpx2.ConnectError(str(error), request=request) from None
        self.status = answer.status
        kept = [
            (k, v) for k, v in answer.headers.items() if k.lower() not in (*OWN_HEADERS, "content-encoding")
        ]
        return httpx2.Response(answer.status, headers=kept, content=answer.content, request=request)


def _run(address: Address, timeout_s: float, ask: Callable[[Any, _Guard], Awaitable[T]]) -> T:
    if not is_installed():
        raise McpError(NOT_INSTALLED, is_retryable=False)
    guard = _Guard(address, timeout_s)
    try:
        return asyncio.run(_within(address, guard, timeout_s, ask))
    except Exception as error:
        raise _explained(_first(error), guard) from None


async def _within(
    address: Address, guard: _Guard, timeout_s: float, ask: Callable[[Any, _Guard], Awaitable[T]]
) -> T:
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client

    async with asyncio.timeout(timeout_s), httpx2.AsyncClient(transport=guard) as http:
        transport = streamable_http_client(address.url, http_client=http)
        async with Client(transport, cache=None, read_timeout_seconds=timeout_s) as client:
            return await ask(client.session, guard)


def _first(error: BaseException) -> BaseException:
    """Find the cause in what task groups wrap around it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _explained(error: BaseException, guard: _Guard) -> McpError:
    was_called = guard.is_calling and guard.was_sent
    if guard.failure is not None:
        is_final = isinstance(guard.failure, outbound.Refused | outbound.TooLarge)
        return McpError(str(guard.failure), is_retryable=not is_final, was_called=was_called)
    if isinstance(error, TimeoutError):
        return McpError("The server does not answer in time.", was_called=was_called)
    is_broken = guard.status == 429 or guard.status >= 500
    said = str(getattr(error, "message", "")) or type(error).__name__
    if type(error).__name__ == "MCPError" and not is_broken:  # its own no: nothing was done
        return McpError(f"The server says: {said}", is_retryable=False)
    return McpError(
        f"The server does not speak MCP as expected ({said}; HTTP {guard.status}).",
        is_retryable=is_broken,
        was_called=was_called and guard.status != 429,
    )
