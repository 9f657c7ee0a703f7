"""How long a run and a step may take."""

from __future__ import annotations

import time
from dataclasses import dataclass

from django.db import connection
from django.db.models import F
from django.db.models.functions import Now

from apps.orchestration.contracts import RunStatus
from apps.orchestration.definitions.contracts import WorkflowDefinition
from apps.orchestration.engine.journal import Journal
from apps.orchestration.engine.state import Kind, RunState
from apps.orchestration.models import RunEvent
from apps.tenants.context import in_tenant


@dataclass(frozen=True)
class Deadline:
    """The end of a run's time, which the database's clock has told; `ends_at` is on this process's own."""

    timeout_s: float
    ends_at: float

    @property
    def left_s(self) -> float:
        return max(0.0, self.ends_at - time.monotonic())

    @property
    def error(self) -> str:
        return f"the run took longer than its timeout of {self.timeout_s:g} s"

    def has_passed(self, state: RunState) -> bool:
        """Tell whether a run that still goes on has to stop."""
        return is_limited(state) and not self.left_s


def is_limited(state: RunState) -> bool:
    """Tell whether time matters: a run that ends, or undoes what it did, is let finish that."""
    goes_on = state.status in (RunStatus.RUNNING, RunStatus.SLEEPING) and not state.is_timed_out
    return goes_on and state.fallback is None


def deadline_of(journal: Journal, definition: WorkflowDefinition) -> Deadline | None:
    """Find when a run's time ends, counted from its beginning or its last retry; None where it never does."""
    if definition.timeout_s is None:
        return None
    with in_tenant(journal.tenant):
        begun = RunEvent.objects.filter(
            run_id=journal.run.id, kind__in=[Kind.RUN_STARTED, Kind.RETRY_REQUESTED]
        )
        ages = begun.order_by("-seq").annotate(age=Now() - F("created_at")).values_list("age", flat=True)
        age_s = ages[0].total_seconds()
    return Deadline(definition.timeout_s, time.monotonic() + definition.timeout_s - age_s)


def limit_statements(timeout_s: float | None) -> None:
    """Let no statement of the open transaction take longer."""
    if timeout_s is not None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(round(timeout_s * 1000))])
