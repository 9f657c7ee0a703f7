"""The state of a long run, stored now and then: a claim reads it and what came since, not everything."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import inspect
import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any

from psycopg.types.json import Jsonb

from apps.orchestration.engine import facts
from apps.orchestration.engine import state as states
from apps.orchestration.engine.state import RunState
from apps.orchestration.models import AgentRun, RunSnapshot
from apps.tenants.context import write_later

EVERY = 100  # facts
_STORE = f"""
INSERT INTO {RunSnapshot._meta.db_table} (run_id, seq, layout, state) VALUES (%s, %s, %s, %s)
ON CONFLICT (run_id) DO UPDATE SET seq = excluded.seq, layout = excluded.layout, state = excluded.state,
  created_at = statement_timestamp()
"""  # noqa: S608 - the table's name is our own


@cache
def layout() -> str:
    """Name how states are made and look today: whatever changes there, older snapshots are of no use."""
    return hashlib.sha256("".join(map(inspect.getsource, (facts, states))).encode()).hexdigest()


def store_snapshot(run: AgentRun, state: RunState, *, added: int) -> None:
    """Store the state where the facts that are added pass the next hundred, in their own transaction."""
    seq = run.version + added
    if seq // EVERY > run.version // EVERY:
        write_later(_STORE, [run.id, seq, layout(), Jsonb(write_state(state))])


def find_snapshot(run: AgentRun) -> tuple[int, RunState] | None:
    """Return the seq and the state of a run's snapshot; None where there is none that is of use."""
    if run.version < EVERY:
        return None
    kept = RunSnapshot.objects.filter(run_id=run.id, layout=layout(), seq__lte=run.version).first()
    return None if kept is None else (kept.seq, read_state_from(kept.state))


def write_state(state: RunState) -> dict[str, Any]:
    """Make JSON of a state; its steps as pairs, as the database keeps no order of keys and theirs counts."""
    written = dataclasses.asdict(state)
    return {**written, "steps": list(written["steps"].items())}


def read_state_from(data: Mapping[str, Any]) -> RunState:
    """Read a state from what was written of it, as it comes back from JSON."""
    state: RunState = _read(RunState, data)
    return state


def _read(kind: Any, value: Any) -> Any:
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        kinds = [choice for choice in typing.get_args(kind) if choice is not types.NoneType]
        return None if value is None else _read(kinds[0], value)
    if dataclasses.is_dataclass(kind):
        hints = _hints(typing.cast(type, kind))
        return kind(**{name: _read(hints[name], item) for name, item in value.items()})  # type: ignore[operator]
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (tuple, list, set, frozenset):
        return origin(_read(inner[0], item) for item in value)
    if origin is not None and issubclass(origin, Mapping):
        items = value if isinstance(value, list) else value.items()
        return {name: _read(inner[1], item) for name, item in items}
    return kind(value) if isinstance(kind, type) and issubclass(kind, enum.Enum) else value


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)
