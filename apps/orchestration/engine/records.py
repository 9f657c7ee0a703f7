"""A run's rows, written in one statement each time: its row and the facts of its history go together."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from django.utils import timezone
from psycopg.types.json import Jsonb

from apps.orchestration.engine.leases import Lease
from apps.orchestration.engine.state import Fact
from apps.orchestration.models import AgentRun, RunEvent
from apps.tenants.context import ask_first, write_later

_RUN, _FACT = AgentRun._meta.db_table, RunEvent._meta.db_table
# The database's clock alone says when a run is due.
_INSERT = f"""
WITH run AS (
  INSERT INTO {_RUN} (id, created_at, workflow_name, workflow_version, workflow_hash, status, input, error,
                      conversation_id, message_id, parent_run_id, parent_path, depth,
                      version, lease_epoch, lease_owner, claims, priority, due_at)
  VALUES (%(id)s, %(created_at)s, %(workflow_name)s, %(workflow_version)s, %(workflow_hash)s, %(status)s,
          %(input)s, '', %(conversation_id)s, %(message_id)s, %(parent_run_id)s, %(parent_path)s, %(depth)s,
          1, %(lease_epoch)s, %(lease_owner)s, %(claims)s, %(priority)s,
          statement_timestamp() + make_interval(secs => %(due_in_s)s))
  RETURNING tenant_id, id
)
INSERT INTO {_FACT} (tenant_id, run_id, seq, kind, data) SELECT tenant_id, id, 1, %(kind)s, %(data)s FROM run
"""  # noqa: S608 - the tables' names are our own
_LOCK = f"""
SELECT (cancel_requested_at IS NOT NULL)::text, (pause_requested_at IS NOT NULL)::text FROM {_RUN}
WHERE id = %s AND lease_epoch = %s AND version = %s FOR UPDATE
"""  # noqa: S608 - as above
_STORE = f"""
WITH held AS (
  UPDATE {_RUN} SET
    version = %(version)s + %(count)s,
    status = %(status)s,
    error = %(error)s,
    claims = 0,
    due_at = CASE WHEN %(rests)s THEN NULL WHEN %(due_in_s)s IS NULL THEN due_at
                  ELSE statement_timestamp() + make_interval(secs => %(due_in_s)s) END,
    lease_owner = coalesce(%(lease_owner)s, lease_owner),
    finished_at = CASE WHEN %(is_finished)s THEN statement_timestamp() ELSE finished_at END,
    output = coalesce(%(output)s::jsonb, output)
  WHERE id = %(id)s AND lease_epoch = %(epoch)s AND version = %(version)s
  RETURNING tenant_id, id
), told AS (
  INSERT INTO {_FACT} (tenant_id, run_id, seq, kind, data)
  SELECT held.tenant_id, held.id, %(version)s + fact.place, fact.told ->> 0, fact.told -> 1
  FROM held, jsonb_array_elements(%(facts)s) WITH ORDINALITY AS fact (told, place)
)
SELECT 1 / count(*) FROM held
"""  # noqa: S608 - as above; fails where nothing was held


def insert_run(run: AgentRun, fact: Fact, *, due_in_s: float) -> None:
    """Insert a run with its first fact, in the caller's transaction of its tenant."""
    run.created_at = timezone.now()
    run.due_at = run.created_at + dt.timedelta(
        seconds=due_in_s
    )  # about: the row's own is by the database's clock
    names = ("id", "created_at", "workflow_name", "workflow_version", "workflow_hash", "status", "message_id")
    more = ("conversation_id", "lease_epoch", "lease_owner", "claims", "priority")
    above = ("parent_run_id", "parent_path", "depth")
    values = {name: getattr(run, name) for name in (*names, *more, *above)}
    said = {"input": Jsonb(run.input), "kind": fact.kind.value, "data": Jsonb(dict(fact.data))}
    write_later(_INSERT, {**values, **said, "due_in_s": due_in_s})


def lock_run(run: AgentRun, lease: Lease) -> tuple[bool, bool] | None:
    """Lock a run's row if the lease holds, and tell whether it is to be cancelled, and paused; else None."""
    rows = ask_first(_LOCK, [run.id, lease.epoch, run.version])
    return (rows[0][0] == "true", rows[0][1] == "true") if rows else None


def store_facts(
    run: AgentRun,
    lease: Lease,
    facts: Sequence[Fact],
    *,
    status: str,
    error: str,
    rests: bool,
    due_in_s: float | None,
    lease_owner: str | None = None,
    is_finished: bool = False,
    output: dict[str, Any] | None = None,
) -> None:
    """Append facts to a run's history and bring its row up to date, which `lock_run` has locked.

    Without `due_in_s` the lease ends when it would: a row whose `due_at` stays is updated within its page.
    """
    values: dict[str, Any] = {
        "id": run.id,
        "epoch": lease.epoch,
        "version": run.version,
        "count": len(facts),
        "facts": Jsonb([[fact.kind.value, dict(fact.data)] for fact in facts]),
        "status": status,
        "error": error,
        "rests": rests,
        "due_in_s": due_in_s,
        "lease_owner": lease_owner,
        "is_finished": is_finished,
        "output": None if output is None else Jsonb(output),
    }
    write_later(_STORE, values)
