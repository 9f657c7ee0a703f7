"""Waiting: a run sleeps in its table until a time, a signal or an approval, and occupies nothing."""

from __future__ import annotations

import datetime as dt
import hashlib
import math
from collections.abc import Mapping
from typing import Any

from django.db import connection
from django.db.models.functions import Now

from apps.orchestration.definitions.durations import duration_s
from apps.orchestration.engine import decisions as d
from apps.orchestration.engine.journal import Journal
from apps.orchestration.engine.state import Kind
from apps.orchestration.models import RunSignal
from apps.tenants.context import in_tenant

MAX_PATH = 64


def begin_wait(journal: Journal, command: d.BeginWait) -> None:
    """Note what a step waits for, and until when by the database's clock; nothing is stored yet."""
    asked = command.arguments
    base = {"step": command.path, "attempt": command.attempt, "condition": command.condition}
    try:
        length = asked.get("for") or asked.get("timeout")
        until = None if length is None else moment_after(journal, duration_s(str(length)))
    except ValueError as error:
        journal.note(Kind.STEP_FAILED, {**base, "error": str(error), "is_final": True})
        return
    kind = next(name for name in ("for", "signal", "approval") if name in asked)
    awaited = {"kind": kind, "what": asked[kind], "until": until}
    journal.note(Kind.STEP_WAITING, {**base, "awaited": awaited})


def end_if_over(journal: Journal, command: d.Await) -> float | None:
    """End a wait, or return for how many seconds it may still last."""
    awaited = command.awaited
    signal = _oldest_signal(journal, mailbox_of(command.path, awaited))
    left_s = math.inf
    if signal is None and awaited["until"]:
        left_s = (dt.datetime.fromisoformat(awaited["until"]) - database_now()).total_seconds()
    if signal is None and left_s > 0:
        return left_s
    if signal is not None:
        RunSignal.objects.filter(id=signal.id).update(taken_at=Now())
    journal.note(Kind.STEP_COMPLETED, _completed(command, signal))
    return None


def mailbox_of(path: str, awaited: Mapping[str, Any]) -> str:
    """Name where the answer to a wait arrives: a signal's name, or one step's approval; empty for none."""
    match awaited["kind"]:
        case "signal":
            return str(awaited["what"])
        case "approval":
            name = path if len(path) <= MAX_PATH else hashlib.sha256(path.encode()).hexdigest()
            return f"approval:{name}"
    return ""


def _completed(command: d.Await, signal: RunSignal | None) -> dict[str, Any]:
    kind = command.awaited["kind"]
    payload = signal.payload if signal else {}
    output = {
        "timed_out": signal is None and kind != "for",
        "approved": kind == "approval" and bool(payload.get("approved")),
        "by": signal.sender if signal else "",
        "comment": str(payload.get("comment", "")) if kind == "approval" else "",
        "payload": payload if kind == "signal" else {},
    }
    return {"step": command.path, "attempt": command.attempt, "output": output}


def _oldest_signal(journal: Journal, name: str) -> RunSignal | None:
    if not name:
        return None
    return RunSignal.objects.filter(run_id=journal.run.id, name=name, taken_at=None).order_by("id").first()


def moment_after(journal: Journal, seconds: float) -> str:
    """Tell when so many seconds will have passed."""
    with in_tenant(journal.tenant):
        return (database_now() + dt.timedelta(seconds=seconds)).isoformat()


def database_now() -> dt.datetime:
    """Ask the clock that alone counts, in the caller's transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement_timestamp()")
        found: dt.datetime = cursor.fetchone()[0]
    return found
