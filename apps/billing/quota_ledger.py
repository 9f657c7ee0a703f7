"""What is used of a quota, exactly, by PostgreSQL: the judge of every hard limit.

Whoever records usage by a reservation holds the quota's lock shared until its commit, and finds the
epoch of its reservation still current. Whoever counts holds the lock alone and begins a new epoch. So
what is counted is all that was ever committed by the reservations of earlier epochs.
"""

import datetime as dt
from typing import Any
from uuid import UUID

from django.db import connection
from uuid_utils.compat import uuid7

from apps.billing.contracts import Period
from apps.tenants.context import write_waiting

# The lock's statement sees what was committed before it began, the next one what was committed before the
# lock was got: only that one is to be believed.
HOLDS_SQL = """
SELECT CASE WHEN (SELECT epoch FROM billing_quotaepoch WHERE kind = %(kind)s) = %(epoch)s
  THEN pg_try_advisory_xact_lock_shared(hashtextextended(%(lock)s, 0)) ELSE false END;
SELECT epoch FROM billing_quotaepoch WHERE kind = %(kind)s"""
LOCK_SQL = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"
NEXT_EPOCH_SQL = """
INSERT INTO billing_quotaepoch (id, kind, epoch, created_at)
VALUES (%(id)s, %(kind)s, 1, statement_timestamp())
ON CONFLICT (tenant_id, kind) DO UPDATE SET epoch = billing_quotaepoch.epoch + 1
RETURNING epoch"""
# The read model, what was told but has not reached it yet, and what is held for work under way.
USED_SQL = """
SELECT coalesce((
  SELECT sum(quantity) FROM billing_usagebucket
  WHERE kind = %(kind)s AND starts_at >= %(start)s AND starts_at < %(end)s
), 0) + coalesce((
  SELECT sum((told.envelope -> 'data' ->> 'quantity')::bigint) FROM events_outboxevent AS told
  WHERE told.tenant_id = %(tenant_id)s AND told.type = 'billing.usage.recorded'
    AND told.created_at >= %(start)s - interval '1 hour'
    AND told.envelope -> 'data' ->> 'kind' = %(kind)s
    AND (told.envelope ->> 'occurred_at')::timestamptz >= %(start)s
    AND (told.envelope ->> 'occurred_at')::timestamptz < %(end)s
    AND NOT EXISTS (SELECT 1 FROM billing_usageevent AS counted WHERE counted.id = told.id)
), 0) + coalesce((SELECT sum(units) FROM billing_quotahold WHERE kind = %(kind)s), 0)"""


def holds_epoch(tenant_id: UUID, kind: str, epoch: int) -> bool:
    """Lock the quota shared until the transaction ends; False, without the lock, in another epoch."""
    parameters: dict[str, Any] = {"kind": kind, "epoch": epoch, "lock": _lock_name(tenant_id, kind)}
    with connection.cursor() as cursor:
        cursor.execute(HOLDS_SQL, parameters)
        is_locked = cursor.fetchone()[0]
        cursor.nextset()
        current = cursor.fetchone()
    return bool(is_locked and current and current[0] == epoch)


def count_alone(tenant_id: UUID, kind: str, period: Period) -> tuple[int, int]:
    """Lock the quota until the transaction ends, begin an epoch, and return it with what is used."""
    parameters: dict[str, Any] = {"id": uuid7(), "tenant_id": tenant_id, "kind": kind}
    span: dict[str, dt.datetime] = {"start": period.start, "end": period.end}
    write_waiting()  # what this transaction has told counts too
    with connection.cursor() as cursor:
        cursor.execute(LOCK_SQL, [_lock_name(tenant_id, kind)])
        cursor.execute(NEXT_EPOCH_SQL, parameters)
        epoch = cursor.fetchone()[0]
        cursor.execute(USED_SQL, {**parameters, **span})
        return epoch, int(cursor.fetchone()[0])


def _lock_name(tenant_id: UUID, kind: str) -> str:
    return f"quota:{tenant_id}:{kind}"
