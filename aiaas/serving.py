"""Serve the WSGI application through granian's own interface: a thread is taken by whole requests only.

Under granian's WSGI a thread reads the body by itself and cannot be called back from there, so a client that
sends a byte a minute would keep it. Here the event loop waits for bodies, at no cost, and gives up on whoever
sends too slowly or too much.
"""

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from sys import stderr
from tempfile import SpooledTemporaryFile
from typing import Any

import structlog
from django.conf import settings

from apps.gateway.middleware.input_guard import BODY_REFUSAL, body_limit

log = structlog.get_logger(__name__)

Environ = dict[str, Any]
IN_MEMORY_BYTES = 64 * 1024  # of each body; the rest of a larger one waits on the disk
AT_ONCE_BYTES = 1024 * 1024  # an answer up to this size needs no stream
CHUNK_BYTES = 64 * 1024
UNPREFIXED = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}


class BodyRefused(Exception):
    """A body that is not worth waiting for any longer, with the status that says why."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Doorway:
    """An RSGI application: receives each request as a whole, then has a thread answer it."""

    def __init__(self, application: Callable[..., Iterable[bytes]], *, threads: int) -> None:
        self._application = application
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="web")

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        environ = build_environ(scope)
        try:
            await receive_body(environ, protocol)
        except BodyRefused as refused:
            environ[BODY_REFUSAL] = refused.status
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._threads, self._answer, environ, protocol, loop)
        finally:
            environ["wsgi.input"].close()

    def __rsgi_del__(self, _loop: Any) -> None:
        self._threads.shutdown()

    def _answer(self, environ: Environ, protocol: Any, loop: asyncio.AbstractEventLoop) -> None:
        start = _Start(closes=BODY_REFUSAL in environ)
        try:
            result = self._application(environ, start)
            try:
                _send(result, start, protocol, loop)
            finally:
                getattr(result, "close", lambda: None)()
        except Exception:
            log.exception("request_broke")
            if not start.is_sent:
                protocol.response_empty(500, [])


class _Start:
    """WSGI's start_response.

    With `closes` the client is told to send nothing more here: what is left of a refused body is in the way.
    """

    status = 200
    headers: list[tuple[str, str]]
    is_sent = False

    def __init__(self, *, closes: bool) -> None:
        self._closes = closes

    def __call__(self, status: str, headers: list[tuple[str, str]], _exc_info: Any = None) -> None:
        self.status = int(status[:3])
        self.headers = [*headers, ("Connection", "close")] if self._closes else headers


def build_environ(scope: Any) -> Environ:
    """Return what WSGI calls the environment of a request, without its body."""
    name, _, port = scope.server.rpartition(":")
    environ = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": scope.path.encode().decode("latin-1"),  # PEP 3333: bytes, written as text
        "QUERY_STRING": scope.query_string,
        "REMOTE_ADDR": scope.client.rpartition(":")[0].strip("[]"),
        "SERVER_NAME": name.strip("[]"),
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": BytesIO(),
        "wsgi.errors": stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for header, value in scope.headers.items():
        if "_" in header:  # it would pass for the one with hyphens that only a proxy may set
            continue
        key = UNPREFIXED.get(header) or f"HTTP_{header.upper().replace('-', '_')}"
        separator = "; " if header == "cookie" else ","
        environ[key] = f"{environ[key]}{separator}{value}" if key in environ else value
    return environ


async def receive_body(environ: Environ, protocol: Any) -> None:
    """Put a request's body into its environment; raises BodyRefused for one that is too slow, long or short.

    What announces more than it may hold is not waited for.
    """
    announced, limit = environ.get("CONTENT_LENGTH", ""), body_limit(environ)
    is_chunked = "HTTP_TRANSFER_ENCODING" in environ
    if not is_chunked and not (announced.isdigit() and int(announced)):
        return
    if not is_chunked and int(announced) > limit:
        raise BodyRefused(413)
    body = environ["wsgi.input"] = SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115 - closed after the answer
    size = await _receive_chunks(protocol, body.write, limit)
    if is_chunked:
        environ["CONTENT_LENGTH"] = str(size)
    elif size != int(announced):
        raise BodyRefused(400)
    body.seek(0)


async def _receive_chunks(protocol: Any, write: Callable[[bytes], int], limit: int) -> int:
    size, loop = 0, asyncio.get_running_loop()
    deadline, chunks = loop.time() + settings.BODY_GRACE_S, aiter(protocol)
    try:
        while True:
            async with asyncio.timeout_at(deadline + size / settings.BODY_MIN_BYTES_S):
                chunk = await anext(chunks)
            size += len(chunk)
            if size > limit:
                raise BodyRefused(413)
            write(chunk)
    except StopAsyncIteration:
        return size
    except TimeoutError:
        raise BodyRefused(408) from None


def _send(result: Any, start: _Start, protocol: Any, loop: asyncio.AbstractEventLoop) -> None:
    if hasattr(result, "block_size"):
        result.block_size = CHUNK_BYTES  # a file's
    if not getattr(result, "streaming", False) or _length(start) <= AT_ONCE_BYTES:
        body = b"".join(result)
        start.is_sent = True
        protocol.response_bytes(start.status, start.headers, body)
        return
    start.is_sent = True
    transport = protocol.response_stream(start.status, start.headers)
    for chunk in result:
        asyncio.run_coroutine_threadsafe(_send_chunk(transport, chunk), loop).result()


def _length(start: _Start) -> float:
    lengths = [value for name, value in start.headers if name.lower() == "content-length"]
    return int(lengths[0]) if lengths else float("inf")


async def _send_chunk(transport: Any, chunk: bytes) -> None:
    async with asyncio.timeout(settings.SEND_TIMEOUT_S):
        await transport.send_bytes(chunk)
