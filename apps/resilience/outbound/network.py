"""Connections that lead to a checked address only, and end at a deadline."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTime
from typing import Any

import httpcore

from apps.resilience.outbound.addresses import require_public
from apps.resilience.outbound.errors import NotReached, Refused, TimedOut

PIECE_BYTES = 16 * 1024
MAX_ADDRESSES = 4
# A name server of a tenant's own may never answer, and the C library cannot be interrupted.
_resolvers = ThreadPoolExecutor(32, thread_name_prefix="resolve")


class Clock:
    """The time that is left for a whole call: its names, its redirects and every byte."""

    def __init__(self, total_s: float) -> None:
        self._ends_at = time.monotonic() + total_s

    def left_s(self, at_most_s: float) -> float:
        """Return how long the next step may take; raises TimedOut when nothing is left."""
        left_s = self._ends_at - time.monotonic()
        if left_s <= 0:
            raise TimedOut("The other side answers too slowly.")
        return min(left_s, at_most_s)


def resolve(host: str, port: int, timeout_s: float) -> list[str]:
    """Return every address of a host, all of them checked; raises Refused, Unreachable."""
    asked = _resolvers.submit(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    try:
        found = asked.result(timeout_s)
    except NotInTime:
        asked.cancel()
        raise TimedOut(f"The name server of {host} does not answer in time.") from None
    except (OSError, UnicodeError):
        raise NotReached(f"The site {host} cannot be found: check the address.") from None
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not addresses:
        raise NotReached(f"The site {host} cannot be found: check the address.")
    require_public(host, port, addresses)
    return addresses


class GuardedNetwork(httpcore.NetworkBackend):
    """Resolves, checks and connects in one step, so that nothing can change between check and connection.

    Host, SNI and the certificate's name stay those of the address that was asked for.
    """

    def __init__(self, clock: Clock, step_s: float) -> None:
        self._clock, self._step_s = clock, step_s
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address that answers; raises Refused, Unreachable."""
        failure: Exception | None = None
        for address in resolve(host, port, self._clock.left_s(self._step_s))[:MAX_ADDRESSES]:
            try:
                left_s = self._clock.left_s(self._step_s)
                stream = self._sockets.connect_tcp(address, port, left_s, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
                continue
            return ClockedStream(stream, self._clock, self._step_s)
        raise NotReached(f"{host} does not take connections at port {port}.") from failure

    def connect_unix_socket(self, *args: Any, **kwargs: Any) -> httpcore.NetworkStream:
        """Refuse: only TCP leads out."""
        raise Refused("Only TCP leads out.")


class ClockedStream(httpcore.NetworkStream):
    """A connection of which every read and write fits into what is left of the call."""

    def __init__(self, stream: httpcore.NetworkStream, clock: Clock, step_s: float) -> None:
        self._stream, self._clock, self._step_s = stream, clock, step_s

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._clock.left_s(self._step_s))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), PIECE_BYTES):
            self._stream.write(buffer[start : start + PIECE_BYTES], self._clock.left_s(self._step_s))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left_s = self._clock.left_s(self._step_s)
        secured = self._stream.start_tls(ssl_context, server_hostname, left_s)
        return ClockedStream(secured, self._clock, self._step_s)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
