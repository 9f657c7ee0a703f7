"""Calls to the outside: guarded, bounded, without proxy, cookies or a memory of former calls."""

from __future__ import annotations

import ssl
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import httpcore
import httpx

from apps.resilience.outbound.addresses import Target, read_url
from apps.resilience.outbound.errors import (
    OutboundError,
    Refused,
    TimedOut,
    TooLarge,
    TooManyRedirects,
    Unreachable,
)
from apps.resilience.outbound.network import Clock, GuardedNetwork, resolve

REDIRECTS = frozenset({301, 302, 303, 307, 308})
# What a redirect may learn of us; credentials stay with the address that they were given for.
CARRIED = frozenset({"user-agent", "accept"})
GZIP_OR_ZLIB = zlib.MAX_WBITS | 32


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much a call may take; `cuts` keeps the beginning of what is longer or slower instead of failing."""

    total_s: float
    step_s: float = 10.0
    max_bytes: int
    max_redirects: int = 0
    cuts: bool = False


@dataclass(frozen=True, kw_only=True)
class Answer:
    status: int
    headers: httpx.Headers
    content: bytes
    url: httpx.URL


def send(
    method: str, url: str, *, headers: Mapping[str, str] | None = None, content: bytes = b"", limits: Limits
) -> Answer:
    """Call an address and return its answer, whatever the status.

    Raises Refused, Unreachable, TimedOut, TooLarge, TooManyRedirects.
    """
    clock, sent = Clock(limits.total_s), dict(headers or {})
    for _ in range(limits.max_redirects + 1):
        target = read_url(url)
        answer = _exchange(method, target, sent, content, limits, clock)
        if not limits.max_redirects or answer.status not in REDIRECTS or "location" not in answer.headers:
            return answer
        url = _next_url(target, answer.headers["location"])
        method, content = "GET", b""
        sent = {name: value for name, value in sent.items() if name.lower() in CARRIED}
    raise TooManyRedirects("The address redirects too often: give the final address.")


def check_address(url: str) -> None:
    """Refuse an address that no call could be made to; one that cannot be found today may be tomorrow."""
    target = read_url(url)
    try:
        resolve(target.host, target.port, 2.0)
    except Unreachable:
        return


@cache
def tls_context() -> ssl.SSLContext:
    """Trust the public authorities."""
    return httpx.create_ssl_context(trust_env=False)


def _exchange(
    method: str, target: Target, headers: Mapping[str, str], content: bytes, limits: Limits, clock: Clock
) -> Answer:
    url = target.url
    address = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
    asked = {"Accept-Encoding": "identity", "Connection": "close", **headers}
    network = GuardedNetwork(clock, limits.step_s)
    try:
        with (
            httpcore.ConnectionPool(tls_context(), max_connections=1, network_backend=network) as pool,
            pool.stream(method, address, headers=_encoded(asked), content=content) as response,
        ):
            read = httpx.Headers(response.headers)
            redirects = limits.max_redirects and response.status in REDIRECTS
            body = b"" if redirects else _read(response, read, limits)
            return Answer(status=response.status, headers=read, content=body, url=url)
    except httpcore.TimeoutException:
        raise TimedOut(f"{target.host} does not answer in time.") from None
    except (httpcore.LocalProtocolError, UnicodeError):
        raise Refused("A header cannot be sent as it is: use visible ASCII characters.") from None
    except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
        raise Unreachable(f"{target.host} cannot be reached ({type(error).__name__}).") from None


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]


def _next_url(target: Target, location: str) -> str:
    try:
        return str(target.url.join(location))
    except httpx.InvalidURL:
        raise Refused("The address redirects to something that is no address.") from None


def _read(response: httpcore.Response, headers: httpx.Headers, limits: Limits) -> bytes:
    content = b""
    try:
        for piece in _decoded(response, headers.get("content-encoding", ""), limits.max_bytes + 1):
            content += piece
            if len(content) > limits.max_bytes:
                raise TooLarge(f"The answer is longer than {limits.max_bytes // 1024} KiB.")
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, OutboundError):
        if not limits.cuts:
            raise
    return content[: limits.max_bytes]


def _decoded(response: httpcore.Response, encoding: str, at_most: int) -> Iterator[bytes]:
    """Yield the body's pieces, never inflating more at once than the caller takes."""
    if encoding.lower() in ("", "identity"):
        yield from response.iter_stream()
        return
    if encoding.lower() not in ("gzip", "x-gzip", "deflate"):
        raise Unreachable(f"The answer is encoded as {encoding[:40]}, which was not asked for.")
    inflater = zlib.decompressobj(GZIP_OR_ZLIB)
    try:
        for piece in response.iter_stream():
            yield inflater.decompress(piece, at_most)
    except zlib.error:
        raise Unreachable("The answer is not compressed as it says.") from None
