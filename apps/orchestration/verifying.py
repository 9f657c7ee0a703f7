"""Compare runs with their histories: the rows are a fold of the events, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from apps.orchestration.definitions.selectors import get_definition
from apps.orchestration.engine.replay import replay
from apps.orchestration.engine.snapshots import find_snapshot
from apps.orchestration.engine.state import Fact, Kind, fold
from apps.orchestration.models import AgentRun, RunEvent
from apps.orchestration.retention import list_removed_months
from apps.orchestration.run_ids import month_of
from apps.resilience.errors import NotFoundError
from apps.tenants.context import in_snapshot, in_tenant
from apps.tenants.contracts import TenantRef

AT_ONCE = 200


@dataclass
class Verification:
    """What was looked at, and what differs, as lines for people."""

    runs: int = 0
    events: int = 0
    without_history: int = 0  # removed for their age: there is nothing to compare
    differences: list[str] = field(default_factory=list)


def verify_runs(*, tenant: TenantRef, run_id: UUID | None = None) -> Verification:
    """Rebuild each run of a tenant, or one, from its events and compare it with its row; changes nothing.

    Raises NotFoundError for a run that there is not.
    """
    found, removed = Verification(), list_removed_months()
    for run, rows in _histories(tenant, run_id):
        found.runs += 1
        found.events += len(rows)
        if not rows and month_of(run.id) in removed:
            found.without_history += 1
            continue
        found.differences += [f"{run.id} {line}" for line in _differences(tenant, run, rows)]
    if run_id is not None and not found.runs:
        raise NotFoundError("There is no such run.")
    return found


Row = tuple[int, str, dict[str, Any]]


def _histories(tenant: TenantRef, run_id: UUID | None) -> Iterator[tuple[AgentRun, list[Row]]]:
    """Read runs page by page, with the events that they had at the same moment."""
    after = None
    while True:
        with in_snapshot(tenant):
            rows = AgentRun.objects.order_by("id").filter(**{"id": run_id} if run_id else {})
            page = list((rows.filter(id__gt=after) if after else rows)[:AT_ONCE])
            read = [(run, _history(run)) for run in page]
        yield from read
        if len(page) < AT_ONCE:
            return
        after = page[-1].id


def _history(run: AgentRun) -> list[Row]:
    rows = RunEvent.objects.filter(run_id=run.id).order_by("seq")
    return list(rows.values_list("seq", "kind", "data"))


def _differences(tenant: TenantRef, run: AgentRun, rows: list[Row]) -> Iterator[str]:
    seqs = [seq for seq, _, _ in rows]
    if seqs != list(range(1, run.version + 1)):
        yield f"has version {run.version}, but events {seqs[:3]} … {seqs[-1:]}, {len(seqs)} of them"
        return
    try:
        definition = get_definition(tenant=tenant, digest=run.workflow_hash)
        facts = [Fact(Kind(kind), data) for _, kind, data in rows]
        state = fold(facts)
    except Exception as error:
        yield f"cannot be rebuilt: {type(error).__name__}: {error}"
        return
    if state.status.value != run.status:
        yield f"is {run.status}, but its events say {state.status.value}"
    if state.input != run.input:
        yield "began with another input than its events say"
    if wrong := _compare_snapshot(tenant, run, facts):
        yield wrong
    yield from (f"event {line}" for line in replay(facts, definition))


def _compare_snapshot(tenant: TenantRef, run: AgentRun, facts: list[Fact]) -> str:
    with in_tenant(tenant):
        seq, state = find_snapshot(run) or (0, None)
    is_well = state is None or state == fold(facts[:seq])
    return "" if is_well else f"has a snapshot that its first {seq} events do not give"
