"""One recorded run rehearsed: its input as it was at its moment, and how the draft's outcome compares."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from apps.conversations.selectors import find_seq_at
from apps.orchestration.definitions.contracts import WorkflowDefinition
from apps.orchestration.definitions.selectors import get_definition, get_tool_settings
from apps.orchestration.engine.inputs import MESSAGE_INPUTS, check_input
from apps.orchestration.engine.journal import read_facts
from apps.orchestration.engine.state import fold
from apps.orchestration.models import AgentRun
from apps.orchestration.rehearsals.contracts import CaseStatus, Comparison, Outcome
from apps.orchestration.rehearsals.outcomes import compare, describe
from apps.orchestration.rehearsals.recording import Recording, read_recording
from apps.orchestration.rehearsals.rehearsing import rehearse
from apps.resilience.errors import DomainError, InvalidInput, NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef

BUDGET_S = 60.0


@dataclass(frozen=True)
class Recorded:
    """A run as it was recorded."""

    input: dict[str, Any]
    recording: Recording
    outcome: Outcome
    settings: Mapping[str, Mapping[str, Any]]


def read_recorded(*, tenant: TenantRef, run_id: UUID) -> Recorded:
    """Read a run with what its calls gave; raises NotFoundError when its history is gone."""
    with in_tenant(tenant):
        run = AgentRun.objects.filter(id=run_id).first()
        facts = read_facts(run) if run else []
        if run is None or not facts:
            raise NotFoundError("The run's history is not kept any more.")
        definition = get_definition(tenant=tenant, digest=run.workflow_hash)
        settings = get_tool_settings(tenant=tenant)
        given = {**run.input, **_place_in_conversation(tenant, run)}
    recording = read_recording(facts, definition, settings)
    outcome = describe(fold(facts), definition, recording.calls)
    return Recorded(given, recording, outcome, settings)


def rehearse_recorded(
    *, tenant: TenantRef, run_id: UUID, draft: WorkflowDefinition, baseline: WorkflowDefinition | None
) -> dict[str, Any]:
    """Rehearse a draft on a run's input and return what is stored of the case.

    It is compared with the recorded outcome, or with that of a baseline rehearsed likewise.
    Raises DomainError when the run cannot be rehearsed.
    """
    recorded = read_recorded(tenant=tenant, run_id=run_id)
    after = _rehearse(tenant, draft, recorded)
    before = recorded.outcome if baseline is None else _rehearse(tenant, baseline, recorded)
    spent = after.cost_microusd + (before.cost_microusd if baseline is not None else 0)
    return {"input": recorded.input, "spent_microusd": spent, **values_of(before, after)}


def values_of(before: Outcome | None, after: Outcome) -> dict[str, Any]:
    """Return a case's columns of two outcomes."""
    changes = compare(before, after) if before else Comparison()
    columns: dict[str, Any] = {"after": after.as_dict(), "before": before.as_dict() if before else None}
    for name, outcome in (("before", before), ("after", after)):
        if outcome is not None:
            columns[f"tokens_{name}"] = outcome.tokens
            columns[f"cost_{name}_microusd"] = outcome.cost_microusd
            columns[f"duration_{name}_ms"] = outcome.duration_ms
    return {**columns, **dataclasses.asdict(changes), "rank": changes.rank}


def failed_values(error: Exception) -> dict[str, Any]:
    """Return a case's columns when it could not be rehearsed."""
    text = error.detail if isinstance(error, DomainError) else f"{type(error).__name__}: {error}"
    return {"status": CaseStatus.FAILED.value, "error": text[:500], "rank": 128}


def _rehearse(tenant: TenantRef, definition: WorkflowDefinition, recorded: Recorded) -> Outcome:
    known = MESSAGE_INPUTS.keys() | {declared.name for declared in definition.inputs}
    try:
        check_input(definition, {name: value for name, value in recorded.input.items() if name in known})
    except InvalidInput as error:
        # The draft would refuse to begin: that is a failure of its own, not of the rehearsal.
        return Outcome(status="failed", error=error.detail)
    return rehearse(
        tenant=tenant,
        definition=definition,
        given=recorded.input,
        settings=recorded.settings,
        recording=recorded.recording,
        budget_s=BUDGET_S,
    )


def _place_in_conversation(tenant: TenantRef, run: AgentRun) -> dict[str, int]:
    """Return where in its conversation a run stood that no message began: what came later is not read."""
    conversation_id = run.input.get("conversation_id")
    if not conversation_id or run.input.get("seq") is not None:
        return {}
    seq = find_seq_at(tenant=tenant, conversation_id=UUID(str(conversation_id)), moment=run.created_at)
    return {} if seq is None else {"seq": seq}
