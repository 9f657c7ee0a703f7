"""Idempotency-Key: do a write once, answer it as often as it is asked."""

import time

import structlog
from django.http import HttpRequest, HttpResponse

from apps.gateway.idempotency import (
    Claim,
    Outcome,
    Standing,
    claim_write,
    fingerprint_of,
    has_effect,
    release_write,
    settle_write,
)
from apps.gateway.metrics import IDEMPOTENT_REPLAYS
from apps.gateway.middleware import GetResponse
from apps.gateway.problems import Problem, problem_of, respond
from apps.tenants.contracts import TenantRef

log = structlog.get_logger(__name__)

WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
MAX_KEY_CHARS = 255
WAIT_S = 3.0
POLL_S = 0.05

BAD_KEY = Problem(400, "Invalid Idempotency-Key", "Use 1 to 255 printable ASCII characters, such as a UUID.")
OTHER_REQUEST = Problem(
    422,
    "Idempotency-Key reused",
    "This key came with another request before; use a new key for a new request.",
)
RUNNING = Problem(
    409,
    "Request in progress",
    "The first request with this key is still running; repeat it shortly to get its answer.",
    headers={"Retry-After": "2"},
)
NOT_KEPT = Problem(
    409,
    "Answer not kept",
    "The first request with this key succeeded; its answer held a secret and was shown once only.",
)


class IdempotencyMiddleware:
    """Claim, execute, remember; without the header nothing happens here."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.write_id = None  # type: ignore[attr-defined]
        key = request.headers.get("Idempotency-Key")
        principal = request.principal  # type: ignore[attr-defined]
        if key is None or principal is None or request.method not in WRITES:
            return self.get_response(request)
        if not 1 <= len(key) <= MAX_KEY_CHARS or not key.isascii() or not key.isprintable():
            return respond(request, BAD_KEY)
        try:
            fingerprint = fingerprint_of(request)
        except Exception as exc:
            if problem := problem_of(exc):
                return respond(request, problem)
            raise
        outcome = _claim_or_wait(principal.tenant, f"{principal.kind}:{principal.id}", key, fingerprint)
        if outcome.claim is None:
            return _answer(request, outcome)
        return self._execute(request, outcome.claim)

    def _execute(self, request: HttpRequest, claim: Claim) -> HttpResponse:
        request.idempotency_claim, request.is_settled = claim, False  # type: ignore[attr-defined]
        request.write_id = claim.record_id  # type: ignore[attr-defined]
        try:
            response = self.get_response(request)
        except BaseException:
            release_write(claim)
            raise
        try:
            if not has_effect(response):
                release_write(claim)
            elif not request.is_settled:  # type: ignore[attr-defined]
                settle_write(claim, response)
        except Exception:
            # The effect stands; the lease will end and a repeat finds the view's own protection.
            log.exception("idempotent_answer_not_kept")
        return response


def _claim_or_wait(tenant: TenantRef, principal: str, key: str, fingerprint: str) -> Outcome:
    gives_up_at = time.monotonic() + WAIT_S
    while True:
        outcome = claim_write(
            tenant=tenant,
            principal=principal,
            key=key,
            fingerprint=fingerprint,
        )
        if outcome.standing is not Standing.RUNNING or time.monotonic() >= gives_up_at:
            return outcome
        time.sleep(POLL_S)


def _answer(request: HttpRequest, outcome: Outcome) -> HttpResponse:
    if outcome.standing is Standing.OTHER_REQUEST:
        return respond(request, OTHER_REQUEST)
    if outcome.standing is Standing.RUNNING:
        return respond(request, RUNNING)
    IDEMPOTENT_REPLAYS.inc()
    return outcome.answer or respond(request, NOT_KEPT)
