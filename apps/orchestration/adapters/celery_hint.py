"""Hints through the Celery broker."""

from __future__ import annotations

from functools import cache
from uuid import UUID

import structlog
from celery import current_app
from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

log = structlog.get_logger(__name__)
TASK, BULK_TASK = "workers.tasks.wake_runs", "workers.tasks.carry_out_bulk"
TIMEOUT_S = 0.25
# A hint that got lost keeps later ones back for no longer than this.
MARK_MS = 1_000


def hint_bulk(tenant_id: UUID, operation_id: UUID) -> None:
    """Tell a worker of a bulk operation; when the message is lost, a sweep finds it."""
    try:
        args = [str(tenant_id), str(operation_id)]
        current_app.send_task(BULK_TASK, args=args, retry=False, ignore_result=True)
    except Exception as error:
        log.info("hint_not_sent", operation_id=str(operation_id), error=str(error))


class CeleryHint:
    """A message that a tenant has due runs; the broker may lose it.

    At most one of a tenant's is under way: a mark says so until a worker takes it off, which it does before
    it looks for runs. So the queue is never longer than there are tenants, whatever one of them starts.
    """

    def send(self, *, tenant_id: UUID, run_id: UUID) -> None:
        """Send the task without waiting for a broker that is away."""
        try:
            if _marks().set(_mark_of(tenant_id), "1", nx=True, px=MARK_MS):
                current_app.send_task(TASK, args=[str(tenant_id)], retry=False, ignore_result=True)
        except Exception as error:
            log.info("hint_not_sent", run_id=str(run_id), error=str(error))


def take_hint(tenant_id: UUID) -> None:
    """Let the tenant's next hint be sent: what it tells of may come too late for the one that was taken."""
    try:
        _marks().delete(_mark_of(tenant_id))
    except RedisError as error:
        log.info("hint_mark_left", tenant_id=str(tenant_id), error=str(error))


def _mark_of(tenant_id: UUID) -> str:
    return f"run-hint:{tenant_id}"


@cache
def _marks() -> Redis:
    return Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )
