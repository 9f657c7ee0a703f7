"""HTTP tool, guarded against requests into our own network."""

from __future__ import annotations

import ipaddress
import json
import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx
from django.conf import settings

from apps.orchestration.steps.context import Output, StepContext, StepFailed
from apps.resilience.breaker import BreakerPolicy
from apps.resilience.bulkhead import BulkheadPolicy
from apps.resilience.outcomes import ResilienceError
from apps.resilience.policies import Resilience

TIMEOUT_S = 10.0
MAX_BODY_BYTES = 256 * 1024
# Headers that would let a workflow speak in our name, or break the request's framing.
FORBIDDEN_HEADERS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "idempotency-key"}
)


class Refused(Exception):
    """The service answered that the request itself is wrong: a repeat will not help."""


# The engine retries, durably; so each attempt here stands alone.
GUARD = Resilience(
    "http_request",
    breaker=BreakerPolicy(failure_threshold=5, recovery_timeout_s=30),
    bulkhead=BulkheadPolicy(max_concurrent=10, max_wait_s=1),
    attempt_timeout_s=TIMEOUT_S,
    is_failure=lambda error: isinstance(error, Exception) and not isinstance(error, Refused),
)


def http_request(context: StepContext) -> Output:
    """Send the request with the effect's key as Idempotency-Key; answers outside `expected_status` fail."""
    arguments = context.arguments
    url = str(arguments["url"])
    address = _checked_address(url)
    key = f"{context.tenant.id}:{urlsplit(url).netloc}"
    try:
        return GUARD.call(
            lambda timeout_s: _send(context, url, address, context.timeout_s or timeout_s), key=key
        )
    except Refused as error:
        raise StepFailed(str(error), is_retryable=False) from None
    except (httpx.HTTPError, ResilienceError) as error:
        raise StepFailed(f"{urlsplit(url).netloc}: {str(error) or type(error).__name__}") from None


def _send(context: StepContext, url: str, address: str, timeout_s: float | None) -> Output:
    arguments = context.arguments
    parts = urlsplit(url)
    pinned = httpx.URL(url).copy_with(host=address)
    host = parts.netloc.rpartition("@")[2]
    headers = {**_headers(arguments.get("headers", {})), "Host": host, "Idempotency-Key": context.effect_key}
    body = json.dumps(arguments["json"]).encode() if "json" in arguments else None
    if body is not None:
        headers["Content-Type"] = "application/json"
    # The connection goes to the address that was checked, not to what the name says a moment later.
    with (
        httpx.Client(timeout=timeout_s, follow_redirects=False, trust_env=False) as client,
        client.stream(
            str(arguments.get("method", "GET")),
            pinned,
            content=body,
            headers=headers,
            extensions={"sni_hostname": parts.hostname or ""},
        ) as response,
    ):
        content = _read(response)
    _check_status(response.status_code, arguments.get("expected_status"), host)
    return {"status": response.status_code, "body": _decoded(response, content)}


def _read(response: httpx.Response) -> bytes:
    content = b""
    for piece in response.iter_bytes():
        content += piece
        if len(content) > MAX_BODY_BYTES:
            raise Refused(f"the answer is longer than {MAX_BODY_BYTES // 1024} KiB")
    return content


def _check_status(status: int, expected: list[int] | None, host: str) -> None:
    if status in expected if expected else 200 <= status < 300:
        return
    message = f"{host} answered {status}"
    if status in (408, 425, 429) or status >= 500:
        raise httpx.HTTPError(message)
    raise Refused(message)


def _decoded(response: httpx.Response, content: bytes) -> Any:
    if "json" in response.headers.get("content-type", ""):
        try:
            return json.loads(content)
        except ValueError:
            pass
    return content.decode(errors="replace").replace("\x00", "")


def _headers(given: Mapping[str, str]) -> dict[str, str]:
    forbidden = [name for name in given if name.lower() in FORBIDDEN_HEADERS]
    if forbidden:
        raise Refused(f"the header {forbidden[0]} cannot be set")
    return dict(given)


def _checked_address(url: str) -> str:
    """Resolve the host once and return an address that may be called; raises StepFailed."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise StepFailed(f"{url!r} is not an http(s) address", is_retryable=False)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except ValueError:
        raise StepFailed(f"{url!r} has no valid port", is_retryable=False) from None
    except OSError as error:
        raise StepFailed(f"{parts.hostname} cannot be resolved: {error}") from None
    addresses = [str(entry[4][0]) for entry in found]
    if f"{parts.hostname}:{port}" in settings.HTTP_TOOL_ALLOWED_HOSTS:
        return addresses[0]
    # Every address must be public: which of them a connection takes is not ours to choose.
    if not all(_is_public(address) for address in addresses):
        raise StepFailed(
            f"{parts.hostname} is an address of a private network; "
            "the platform's HTTP_TOOL_ALLOWED_HOSTS may allow it",
            is_retryable=False,
        )
    return addresses[0]


def _is_public(address: str) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    return ip.is_global and not ip.is_multicast and not ip.is_reserved
