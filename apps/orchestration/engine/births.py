"""Runs that this process created and claimed at once, kept until it executes them."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from apps.orchestration.engine.leases import LEASE_S, Lease
from apps.orchestration.engine.state import RunState
from apps.orchestration.models import AgentRun


@dataclass(frozen=True)
class Claim:
    """A claimed run with its state and the tenant's tool settings: nothing is left to read."""

    run: AgentRun
    state: RunState
    lease: Lease
    settings: dict[str, dict[str, Any]]


class Births:
    """Each claim is taken once; one that nobody takes is forgotten with its lease."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._claims: dict[UUID, Claim] = {}

    def add(self, claim: Claim) -> None:
        """Keep a claim; when its transaction fails after all, nobody ever asks for it."""
        now = time.monotonic()
        with self._lock:
            stale = [key for key, kept in self._claims.items() if now - kept.lease.renewed_at > LEASE_S]
            for key in stale:
                del self._claims[key]
            self._claims[claim.run.id] = claim

    def take(self, run_id: UUID) -> Claim | None:
        """Give a claim to the one who executes it."""
        with self._lock:
            claim = self._claims.pop(run_id, None)
        return claim if claim and claim.lease.may_begin_effect() else None


BIRTHS = Births()
