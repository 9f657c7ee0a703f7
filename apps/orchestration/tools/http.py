"""HTTP tool, through the guard against requests into our own network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from apps.orchestration.definitions.sealing import MARK
from apps.orchestration.definitions.selectors import reveal_secrets
from apps.orchestration.steps.context import OutcomeUnknown, Output, StepContext, StepFailed
from apps.resilience import outbound
from apps.resilience.breaker import BreakerPolicy
from apps.resilience.bulkhead import BulkheadPolicy
from apps.resilience.outcomes import ResilienceError
from apps.resilience.policies import Resilience

TIMEOUT_S = 10.0
MAX_TIMEOUT_S = 60.0
NOT_FOUND = 404
MAX_BODY_BYTES = 256 * 1024
# Headers that would let a workflow speak in our name, or break the request's framing.
FORBIDDEN_HEADERS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "idempotency-key", "accept-encoding"}
)


class Failed(Exception):
    """The service, or the request itself, is wrong.

    `is_retryable` tells whether a repeat may help, `is_unknown` that the service may have acted all the same.
    """

    def __init__(self, message: str, *, is_retryable: bool = False, is_unknown: bool = False) -> None:
        super().__init__(message)
        self.is_retryable, self.is_unknown = is_retryable, is_unknown


def _is_services_fault(error: BaseException) -> bool:
    if isinstance(error, Failed):
        return error.is_retryable
    return isinstance(error, Exception) and not isinstance(error, outbound.Refused | outbound.TooLarge)


# The engine retries, durably; so each attempt here stands alone.
GUARD = Resilience(
    "http_request",
    breaker=BreakerPolicy(failure_threshold=5, recovery_timeout_s=30),
    bulkhead=BulkheadPolicy(max_concurrent=10, max_wait_s=1),
    attempt_timeout_s=TIMEOUT_S,
    is_failure=_is_services_fault,
)


def http_request(context: StepContext) -> Output:
    """Send the request with the effect's key as Idempotency-Key; answers outside `expected_status` fail."""
    arguments = context.arguments
    body = json.dumps(arguments["json"]).encode() if "json" in arguments else b""
    method = str(arguments.get("method", "GET"))
    answer = _call(context, method, str(arguments["url"]), arguments.get("headers", {}), body)
    return {"status": answer.status, "body": _decoded(answer)}


def look_up(context: StepContext) -> Output | None:
    """Ask the service, as the step says, whether it knows the effect's key.

    404 and an empty answer mean no; any other 2xx is the output. Raises StepFailed where that stays open.
    """
    asked = context.arguments["lookup"]
    url = str(asked["url"]).replace("{effect_key}", context.effect_key)
    looking = replace(context, arguments={"expected_status": [*range(200, 300), 404]})
    answer = _call(looking, "GET", url, asked.get("headers", {}), b"")
    found = _decoded(answer)
    if answer.status == NOT_FOUND or found in (None, "", [], {}):
        return None
    return {"status": answer.status, "body": found}


def _call(
    context: StepContext, method: str, url: str, headers: Mapping[str, Any], body: bytes
) -> outbound.Answer:
    if MARK.search(json.dumps([url, body.decode()])):
        raise StepFailed("a secret of the settings may stand in a header only", is_retryable=False)
    try:
        site = outbound.read_url(url).url.netloc.decode()
        return GUARD.call(
            lambda timeout_s: _send(context, method, url, headers, body, context.timeout_s or timeout_s),
            key=site,
            owner=str(context.tenant.id),
        )
    except outbound.Refused as error:
        raise StepFailed(str(error), is_retryable=False) from None
    except outbound.TooLarge as error:
        raise OutcomeUnknown(str(error), is_retryable=False) from None
    except Failed as error:
        kind = OutcomeUnknown if error.is_unknown else StepFailed
        raise kind(str(error), is_retryable=error.is_retryable) from None
    except (outbound.NotReached, ResilienceError) as error:
        raise StepFailed(f"{site}: {error}") from None
    except outbound.OutboundError as error:
        raise OutcomeUnknown(f"{site}: {error}") from None


def _send(
    context: StepContext,
    method: str,
    url: str,
    headers: Mapping[str, Any],
    body: bytes,
    timeout_s: float | None,
) -> outbound.Answer:
    given = reveal_secrets(tenant=context.tenant, texts=_headers(headers))
    sent = {**given, "Idempotency-Key": context.effect_key}
    if body:
        sent["Content-Type"] = "application/json"
    total_s = min(timeout_s or TIMEOUT_S, MAX_TIMEOUT_S)
    limits = outbound.Limits(total_s=total_s, step_s=total_s, max_bytes=MAX_BODY_BYTES)
    answer = outbound.send(method, url, headers=sent, content=body, limits=limits)
    _check_status(answer.status, context.arguments.get("expected_status"), answer.url.host)
    return answer


def _check_status(status: int, expected: list[int] | None, host: str) -> None:
    if status in expected if expected else 200 <= status < 300:
        return
    raise Failed(
        f"{host} answered {status}",
        is_retryable=status in (408, 425, 429) or status >= 500,
        is_unknown=status == 408 or status >= 500,
    )


def _decoded(answer: outbound.Answer) -> Any:
    if "json" in answer.headers.get("content-type", ""):
        try:
            return json.loads(answer.content)
        except ValueError:
            pass
    return answer.content.decode(errors="replace").replace("\x00", "")


def _headers(given: Mapping[str, Any]) -> dict[str, str]:
    forbidden = [name for name in given if name.lower() in FORBIDDEN_HEADERS]
    if forbidden:
        raise Failed(f"the header {forbidden[0]} cannot be set")
    return {name: str(value) for name, value in given.items()}
