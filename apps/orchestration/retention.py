"""Histories of runs by months: made ahead of time, removed when all runs of one are old and have ended."""

from __future__ import annotations

import datetime as dt

import structlog
from django.conf import settings
from django.db import OperationalError, connections
from django.utils import timezone

from apps.orchestration.models import RemovedHistory
from apps.tenants.context import in_platform

MONTHS_AHEAD = 3
MONTHS_A_TURN = 24
log = structlog.get_logger(__name__)


def ensure_partitions(*, today: dt.date | None = None) -> None:
    """Make the partitions of this month and the next ones; there already, they stay."""
    month = today or timezone.now().date()
    for _ in range(MONTHS_AHEAD + 1):
        _ask("ensure_run_partitions", month)
        month = _next(month)


def remove_old_histories(*, today: dt.date | None = None) -> list[dt.date]:
    """Remove the events of the months that are wholly older than they are kept; returns which went now.

    A run that is still open keeps its month. The runs' rows stay, with what came out and the receipt.
    """
    youngest = (today or timezone.now().date()) - dt.timedelta(days=settings.RUN_EVENTS_KEPT_DAYS)
    month, old = youngest.replace(day=1), []
    for _ in range(MONTHS_A_TURN):
        month = (month - dt.timedelta(days=1)).replace(day=1)
        old.append(month)
    return [month for month in reversed(old) if _remove(month)]


def list_removed_months() -> set[dt.date]:
    """Return the first days of the months whose runs have no events any more."""
    return set(RemovedHistory.objects.values_list("month", flat=True))


def _remove(month: dt.date) -> bool:
    try:
        is_gone = _ask("hide_run_history", month) and _ask("drop_run_history", month)
    except OperationalError as error:  # a lock that somebody held too long: the next turn tries again
        log.warning("run_history_kept", month=str(month), error=str(error).strip())
        return False
    if is_gone:
        log.info("run_history_removed", month=str(month))
    return is_gone


def _ask(function: str, month: dt.date) -> bool:
    with in_platform() as alias, connections[alias].cursor() as cursor:
        cursor.execute(f"SELECT {function}(%s)", [month])
        return bool(cursor.fetchone()[0])


def _next(month: dt.date) -> dt.date:
    return (month.replace(day=1) + dt.timedelta(days=32)).replace(day=1)
