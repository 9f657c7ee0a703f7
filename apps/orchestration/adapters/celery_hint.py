"""Hints through the Celery broker."""

from __future__ import annotations

from uuid import UUID

import structlog
from celery import current_app

log = structlog.get_logger(__name__)
TASK, BULK_TASK = "workers.tasks.execute_run", "workers.tasks.carry_out_bulk"


def hint_bulk(tenant_id: UUID, operation_id: UUID) -> None:
    """Tell a worker of a bulk operation; when the message is lost, a sweep finds it."""
    try:
        args = [str(tenant_id), str(operation_id)]
        current_app.send_task(BULK_TASK, args=args, retry=False, ignore_result=True)
    except Exception as error:
        log.info("hint_not_sent", operation_id=str(operation_id), error=str(error))


class CeleryHint:
    """A message with a run's id; the broker may lose it."""

    def send(self, *, tenant_id: UUID, run_id: UUID) -> None:
        """Send the task without waiting for a broker that is away."""
        try:
            current_app.send_task(TASK, args=[str(tenant_id), str(run_id)], retry=False, ignore_result=True)
        except Exception as error:
            log.info("hint_not_sent", run_id=str(run_id), error=str(error))
