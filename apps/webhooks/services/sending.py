"""The way of a delivery: claimed with its attempt written down, sent, and settled by what was answered."""

from __future__ import annotations

import datetime as dt
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

import structlog
from django.db import connections
from django.utils import timezone

from apps.resilience import outbound
from apps.tenants.context import in_platform, in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.secrets import CannotOpen, unseal
from apps.tenants.selectors import get_tenant
from apps.tenants.signing import sign
from apps.webhooks import metrics
from apps.webhooks.contracts import Claim, DeliveryStatus, EndpointState, Outcome
from apps.webhooks.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint

log = structlog.get_logger(__name__)
# Seconds between attempts: ten of them in a little more than three days.
SCHEDULE_S = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
JITTER = 0.2
MAX_WAIT_S = 86_400
LEASE_S = 60
PER_ENDPOINT = 4
SLOW_MS = 3000
PAUSED_AFTER = dt.timedelta(days=3)
SNIPPET_CHARS = 2000
LIMITS = outbound.Limits(total_s=15.0, step_s=10.0, max_bytes=8192, cuts=True)
GONE = 410

# Endpoints take turns, the one that waits longest first, each with at most so many attempts under way. The
# attempt is written down, and one whose process died is closed, in the statement that claims the delivery.
CLAIM = """
WITH turn AS (
    SELECT e.id FROM webhooks_webhookendpoint e
    WHERE e.state = 'active'
      AND (e.failing_since IS NOT NULL OR e.last_duration_ms > %(slow_ms)s) = %(suspect)s
      AND EXISTS (SELECT FROM webhooks_webhookdelivery d WHERE d.endpoint_id = e.id
                  AND d.status = 'pending' AND d.due_at <= statement_timestamp())
    ORDER BY e.served_at LIMIT %(limit)s FOR UPDATE OF e SKIP LOCKED
), due AS (
    SELECT next.id FROM turn CROSS JOIN LATERAL (
        SELECT d.id, row_number() OVER (ORDER BY d.due_at) AS place FROM webhooks_webhookdelivery d
        WHERE d.endpoint_id = turn.id AND d.status = 'pending' AND d.due_at <= statement_timestamp()
        ORDER BY d.due_at LIMIT greatest(0, %(per_endpoint)s - (
            SELECT count(*) FROM webhooks_webhookdelivery f
            WHERE f.endpoint_id = turn.id AND f.leased_until > statement_timestamp()))
    ) next ORDER BY next.place LIMIT %(limit)s
), claimed AS (
    UPDATE webhooks_webhookdelivery d
    SET attempts = d.attempts + 1, leased_until = statement_timestamp() + %(lease)s::interval,
        due_at = statement_timestamp() + %(lease)s::interval
    FROM due WHERE d.id = due.id AND d.status = 'pending' AND d.due_at <= statement_timestamp()
    RETURNING d.id, d.tenant_id, d.endpoint_id, d.attempts
), served AS (
    UPDATE webhooks_webhookendpoint SET served_at = statement_timestamp()
    WHERE id IN (SELECT endpoint_id FROM claimed)
), died AS (
    UPDATE webhooks_webhookattempt a SET outcome = 'interrupted'
    FROM claimed WHERE a.delivery_id = claimed.id AND a.outcome = 'started'
), begun AS (
    INSERT INTO webhooks_webhookattempt
        (id, tenant_id, created_at, delivery_id, number, outcome, response_body, error)
    SELECT gen_random_uuid(), tenant_id, statement_timestamp(), id, attempts, 'started', '', '' FROM claimed
)
SELECT tenant_id, id, attempts FROM claimed
"""


@dataclass(frozen=True)
class Request:
    """What is sent: the same body at every attempt, signed anew."""

    url: str
    webhook_id: str
    body: bytes
    secrets: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """How an attempt went; without a status nothing was answered."""

    status: int | None
    body: str
    error: str
    duration_ms: int
    retry_after_s: float

    @property
    def is_success(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def sweep_due_deliveries(
    *, limit: int, submit: Callable[[Callable[[], bool]], None], suspect: bool = False
) -> int:
    """Claim what is due of all tenants and hand each attempt to `submit`; return how many.

    Endpoints that fail or are slow are another lane's (`suspect`), so that they keep no other waiting.
    """
    claims = claim_due(limit=limit, suspect=suspect)
    for claim in claims:
        submit(partial(attempt, claim))
    return len(claims)


def claim_due(*, limit: int, suspect: bool) -> list[Claim]:
    """Claim due deliveries, the endpoints taking turns."""
    parameters: dict[str, Any] = {
        "limit": limit,
        "suspect": suspect,
        "slow_ms": SLOW_MS,
        "per_endpoint": PER_ENDPOINT,
        "lease": dt.timedelta(seconds=LEASE_S),
    }
    with in_platform() as alias, connections[alias].cursor() as cursor:
        cursor.execute(CLAIM, parameters)
        return [Claim(tenant_id=row[0], delivery_id=row[1], number=row[2]) for row in cursor.fetchall()]


def attempt(claim: Claim) -> bool:
    """Make a claimed attempt; a process that dies at it leaves it to whoever comes after its lease."""
    tenant = get_tenant(tenant_id=claim.tenant_id)
    with in_tenant(tenant):
        request = _prepare(tenant, claim)
    if request is None:
        return False
    result = _send(request)
    with in_tenant(tenant):
        _settle(claim, result)
    return result.is_success


def _prepare(tenant: TenantRef, claim: Claim) -> Request | None:
    rows = WebhookDelivery.objects.select_related("endpoint")
    delivery = rows.filter(id=claim.delivery_id, attempts=claim.number).first()
    if delivery is None:
        return None
    endpoint = delivery.endpoint
    sealed = [endpoint.secret]
    if endpoint.previous_until and endpoint.previous_until > timezone.now():
        sealed.append(endpoint.previous_secret)
    try:
        secrets = tuple(unseal(one, tenant.id) for one in sealed)
    except CannotOpen as error:
        _settle(claim, Result(None, "", f"{error} Make a new signing secret.", 0, 0.0))
        return None
    return Request(endpoint.url, delivery.webhook_id, delivery.body.encode(), secrets)


def _send(request: Request) -> Result:
    now = str(int(time.time()))
    signatures = [sign(secret, request.webhook_id, now, request.body) for secret in request.secrets]
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "AIaaS-Webhooks/1.0",
        "webhook-id": request.webhook_id,
        "webhook-timestamp": now,
        "webhook-signature": " ".join(signatures),
    }
    begun = time.monotonic()
    try:
        answer = outbound.send("POST", request.url, headers=headers, content=request.body, limits=LIMITS)
    except outbound.OutboundError as error:
        return Result(None, "", str(error), _since_ms(begun), 0.0)
    text = answer.content.decode(errors="replace").replace("\x00", "")[:SNIPPET_CHARS]
    wait_s = _retry_after_s(answer.headers.get("retry-after", ""))
    complaint = "" if 200 <= answer.status < 300 else f"It answered {answer.status}."
    return Result(answer.status, text, complaint, _since_ms(begun), wait_s)


def _settle(claim: Claim, result: Result) -> None:
    """Write down what came of an attempt, unless its lease ended and another has begun."""
    outcome = Outcome.SUCCEEDED if result.is_success else Outcome.FAILED
    metrics.attempts_total.labels(outcome.value).inc()
    # The endpoint is locked first, as by whoever claims, replays or pauses.
    claimed = WebhookDelivery.objects.filter(id=claim.delivery_id)
    endpoint = (
        WebhookEndpoint.objects.select_for_update().filter(id__in=claimed.values("endpoint_id")).first()
    )
    WebhookAttempt.objects.filter(delivery_id=claim.delivery_id, number=claim.number).update(
        outcome=outcome.value,
        response_status=result.status,
        response_body=result.body,
        error=result.error,
        duration_ms=result.duration_ms,
    )
    pending = claimed.filter(attempts=claim.number, status=DeliveryStatus.PENDING)
    delivery = pending.select_for_update().first()
    if endpoint is None or delivery is None:
        return
    if result.is_success:
        _finish(delivery, DeliveryStatus.DELIVERED)
    else:
        _postpone(delivery, result)
    _judge(endpoint, result, is_test=delivery.is_test)


def _postpone(delivery: WebhookDelivery, result: Result) -> None:
    failures = delivery.failures
    delivery.failures += 1
    if delivery.is_test or result.status == GONE or failures >= len(SCHEDULE_S):
        _finish(delivery, DeliveryStatus.FAILED)
        return
    wait_s = SCHEDULE_S[failures] * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - spreads load
    delivery.due_at = timezone.now() + dt.timedelta(seconds=max(wait_s, result.retry_after_s))
    delivery.leased_until = None
    delivery.save(update_fields=["failures", "due_at", "leased_until"])


def _finish(delivery: WebhookDelivery, status: DeliveryStatus) -> None:
    delivery.status, delivery.finished_at = status.value, timezone.now()
    delivery.due_at = delivery.leased_until = None
    delivery.save(update_fields=["status", "failures", "finished_at", "due_at", "leased_until"])


def _judge(endpoint: WebhookEndpoint, result: Result, *, is_test: bool) -> None:
    """Learn about the endpoint: well, slow, failing, failing for too long, or gone."""
    now = timezone.now()
    endpoint.last_duration_ms = result.duration_ms
    if result.is_success:
        endpoint.failing_since = None
    elif not is_test:
        endpoint.failing_since = endpoint.failing_since or now
        if result.status == GONE:
            _stop(endpoint, EndpointState.GONE)
        elif now - endpoint.failing_since >= PAUSED_AFTER:
            _stop(endpoint, EndpointState.FAILING)
    endpoint.save(update_fields=["last_duration_ms", "failing_since", "state", "stopped_at", "notified_at"])


def _stop(endpoint: WebhookEndpoint, state: EndpointState) -> None:
    if endpoint.state != EndpointState.ACTIVE:
        return
    endpoint.state, endpoint.stopped_at, endpoint.notified_at = state.value, timezone.now(), None
    if state == EndpointState.GONE:
        waiting = WebhookDelivery.objects.filter(endpoint_id=endpoint.id, status=DeliveryStatus.PENDING)
        waiting.update(
            status=DeliveryStatus.FAILED, finished_at=timezone.now(), due_at=None, leased_until=None
        )
    log.warning("webhook_endpoint_stopped", endpoint_id=str(endpoint.id), state=state.value)


def _retry_after_s(value: str) -> float:
    """Read seconds or a date; whatever else is no wish."""
    try:
        wait_s = float(value) if value.isascii() and value.isdigit() else _until_s(value)
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(max(wait_s, 0.0), MAX_WAIT_S)


def _until_s(value: str) -> float:
    moment = parsedate_to_datetime(value)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    return (moment - timezone.now()).total_seconds()


def _since_ms(begun: float) -> int:
    return int((time.monotonic() - begun) * 1000)
