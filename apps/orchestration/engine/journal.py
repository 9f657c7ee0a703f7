"""Writes facts, state and events of a run in one transaction, fenced by lease and version."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import F
from django.db.models.functions import Now

from apps.events.contracts import DomainEvent
from apps.events.services import publish
from apps.orchestration.contracts import HistoryRemoved
from apps.orchestration.engine.alerts import alert
from apps.orchestration.engine.leases import LEASE_S, RENEW_S, Lease
from apps.orchestration.engine.records import lock_run, store_facts
from apps.orchestration.engine.snapshots import find_snapshot, store_snapshot
from apps.orchestration.engine.state import Fact, Kind, RunState, fold
from apps.orchestration.models import AgentRun, RunEvent
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef


class LeaseLost(Exception):
    """Another executor has the run, or something was written to it: whoever sees this stops silently."""


class CancelArrived(Exception):
    """Somebody asked to cancel or pause the run before the next thing was begun; nothing was written."""


def plain(value: Any) -> Any:
    """Turn a value into what JSON gives back, so that a fact reads the same now and after a crash."""
    return json.loads(json.dumps(value, cls=DjangoJSONEncoder))


@dataclass
class Journal:
    """A run's history as this executor knows it: what is stored, and what waits to be.

    `state` includes the waiting facts. They are stored with the next commit: a step that only reads
    needs no transaction of its own, and when the process dies before, it is simply done again.
    """

    tenant: TenantRef
    run: AgentRun
    lease: Lease
    state: RunState
    waiting: list[Fact] = field(default_factory=list)
    events: list[DomainEvent] = field(default_factory=list)
    oldest_waiting: float = 0.0
    is_cancel_requested: bool = False
    is_pause_requested: bool = False

    def note(self, kind: Kind, data: dict[str, Any], *events: DomainEvent) -> None:
        """Take a fact into the state; it is stored with the next commit."""
        fact = Fact(kind, plain(data))
        if not self.waiting:
            self.oldest_waiting = time.monotonic()
        self.state = fold([fact], self.state)
        self.waiting.append(fact)
        self.events.extend(events)

    @contextmanager
    def commit(self, *, begins_something: bool = False, **changes: Any) -> Iterator[dict[str, Any]]:
        """Store the waiting facts and whatever the block writes, in one transaction.

        The block may note further facts, and say in what it is given how `store_facts` changes the run's row.
        Raises LeaseLost, CancelArrived where something new would begin, and whatever the block raises; then
        nothing was written and the facts wait on.
        """
        stored = (self.state, list(self.waiting), list(self.events))
        try:
            with in_tenant(self.tenant):
                self._lock()
                if begins_something and self._is_to_stop:
                    raise CancelArrived
                yield changes
                self._store(changes)
        except BaseException:
            self.state, self.waiting, self.events = stored
            raise
        # Only now: when the commit's own outcome is unknown, the old version makes the next one stop.
        self.run.version += len(self.waiting)
        self.waiting, self.events = [], []

    def flush(self, **changes: Any) -> None:
        """Store what waits, and the run's changed fields; nothing when there are neither."""
        if self.waiting or changes:
            with self.commit(**changes):
                pass

    def _lock(self) -> None:
        """Refuse to write for a lost lease before anything else happens in the transaction."""
        held = lock_run(self.run, self.lease)
        if held is None:
            raise LeaseLost
        self.is_cancel_requested, self.is_pause_requested = held

    def _store(self, changes: dict[str, Any]) -> None:
        renewed_s = time.monotonic() - self.lease.renewed_at
        due_in_s = LEASE_S if renewed_s > RENEW_S else None  # its keeper does it, but for when it cannot
        fields = {"error": self.state.error, "due_in_s": due_in_s, "rests": self._rests, **changes}
        store_facts(self.run, self.lease, self.waiting, status=self.state.status.value, **fields)
        store_snapshot(self.run, self.state, added=len(self.waiting))
        alert(self.tenant, self.run, self.waiting)
        publish(*self.events)

    def pause(self) -> bool:
        """Put the run to rest; False when somebody has thought better of it meanwhile."""
        with self.commit() as fields:
            if self.is_pause_requested:
                self.note(Kind.PAUSED, {})
                fields["lease_owner"] = ""
        return self.is_pause_requested

    @property
    def _is_to_stop(self) -> bool:
        return self.is_pause_requested or (self.is_cancel_requested and not self.state.is_cancelling)

    @property
    def _rests(self) -> bool:
        return self.state.is_at_rest


def read_facts(run: AgentRun, *, after_seq: int = 0) -> list[Fact]:
    """Read a run's history, in the caller's transaction of its tenant.

    Raises HistoryRemoved.
    """
    rows = RunEvent.objects.filter(run_id=run.id, **({"seq__gt": after_seq} if after_seq else {}))
    facts = [Fact(Kind(kind), data) for kind, data in rows.order_by("seq").values_list("kind", "data")]
    if not facts and run.version > after_seq:
        raise HistoryRemoved
    return facts


def read_state(run: AgentRun) -> RunState:
    """Rebuild a run's state, of a long one from its snapshot; raises HistoryRemoved."""
    seq, state = find_snapshot(run) or (0, None)
    return fold(read_facts(run, after_seq=seq), state)


def append_fact(run: AgentRun, kind: Kind, data: dict[str, Any], **changes: Any) -> RunState:
    """Add a fact to a run that nobody executes, in the caller's transaction that has locked its row."""
    fact = Fact(kind, plain(data))
    state = fold([fact], read_state(run))
    RunEvent.objects.create(
        tenant_id=run.tenant_id, run_id=run.id, seq=run.version + 1, kind=kind.value, data=dict(fact.data)
    )
    AgentRun.objects.filter(id=run.id).update(
        version=F("version") + 1, status=state.status.value, error=state.error, **{"due_at": Now(), **changes}
    )
    run.version += 1
    return state
