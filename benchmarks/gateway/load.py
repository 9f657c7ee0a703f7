"""A closed loop of HTTP/1.1 requests over kept connections: little work of its own on the cores it shares."""

import asyncio
import statistics
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

WARM_UP_S, LASTS_S = 1.5, 6.0


@dataclass(frozen=True)
class Target:
    """Where to send what; a stream must end with `ends_with`."""

    url: str
    headers: dict[str, str]
    body: bytes = b""
    ends_with: bytes = b""

    def request(self) -> bytes:
        at = urlsplit(self.url)
        lines = [
            f"{'POST' if self.body else 'GET'} {at.path} HTTP/1.1",
            f"Host: {at.netloc}",
            f"Content-Length: {len(self.body)}",
            *(f"{name}: {value}" for name, value in self.headers.items()),
        ]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


def measure(target: Target, *, concurrency: int, lasts_s: float = LASTS_S) -> dict[str, Any]:
    """Send as many requests at a time for a while; raises RuntimeError for anything but 200."""
    asyncio.run(_phase(target, concurrency, WARM_UP_S))
    times, took_s = asyncio.run(_phase(target, concurrency, lasts_s))
    ordered = sorted(times)
    return {
        "requests_per_s": round(len(ordered) / took_s, 1),
        "p50_ms": round(statistics.median(ordered), 2),
        "p99_ms": round(ordered[int(0.99 * (len(ordered) - 1))], 2),
    }


async def _phase(target: Target, concurrency: int, lasts_s: float) -> tuple[list[float], float]:
    times: list[float] = []
    begin = time.perf_counter()
    await asyncio.gather(*(_client(target, begin + lasts_s, times) for _ in range(concurrency)))
    return times, time.perf_counter() - begin


async def _client(target: Target, ends_at: float, times: list[float]) -> None:
    at, request = urlsplit(target.url), target.request()
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    while time.perf_counter() < ends_at:
        begin = time.perf_counter()
        writer.write(request)
        body, is_kept = await asyncio.wait_for(_answer(reader), 60)
        times.append((time.perf_counter() - begin) * 1000)
        if not body.rstrip().endswith(target.ends_with):
            raise RuntimeError(f"{target.url}: the stream broke off: {body[-300:]!r}")
        if not is_kept:
            writer.close()
            reader, writer = await asyncio.open_connection(at.hostname, at.port)
    writer.close()


async def _answer(reader: asyncio.StreamReader) -> tuple[bytes, bool]:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    status = head.split(b" ", 2)[1]
    is_kept = b"connection: close" not in head
    if b"transfer-encoding: chunked" in head:
        body = await _chunks(reader)
    elif b"content-length:" in head:
        body = await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
    else:
        body, is_kept = await reader.read(), False
    if status != b"200":
        raise RuntimeError(f"{status.decode()}: {body[:500]!r}")
    return body, is_kept


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while size := int((await reader.readline()).split(b";")[0], 16):
        parts.append(await reader.readexactly(size))
        await reader.readline()
    await reader.readline()
    return b"".join(parts)
