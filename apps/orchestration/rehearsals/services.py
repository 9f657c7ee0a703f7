"""Write rehearsals: dry runs at once, simulations in the background."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import structlog
from celery import current_app
from django.db import IntegrityError, transaction
from django.utils import timezone
from kombu.exceptions import KombuError

from apps.orchestration.definitions.contracts import VersionView, WorkflowDefinition
from apps.orchestration.definitions.errors import InvalidWorkflowSource
from apps.orchestration.definitions.language.compiler import InvalidWorkflow
from apps.orchestration.definitions.selectors import get_definition, get_tool_settings, get_workflow
from apps.orchestration.definitions.services import preview_workflow
from apps.orchestration.engine.inputs import check_input
from apps.orchestration.rehearsals.cases import BUDGET_S, failed_values, rehearse_recorded, values_of
from apps.orchestration.rehearsals.claims import (
    GAVE_UP,
    MAX_ATTEMPTS,
    Claim,
    ClaimLost,
    claim_rehearsal,
    due_rehearsals,
    next_case,
)
from apps.orchestration.rehearsals.contracts import (
    Against,
    BoundReached,
    CaseStatus,
    CaseView,
    Estimate,
    Outcome,
    RehearsalKind,
    RehearsalStatus,
    RehearsalView,
    Selection,
    Summary,
)
from apps.orchestration.rehearsals.models import OPEN, Rehearsal, RehearsalCase
from apps.orchestration.rehearsals.rehearsing import rehearse
from apps.orchestration.rehearsals.selectors import (
    MAX_CASES,
    choose_runs,
    estimate_simulation,
    get_rehearsal,
    measure_left,
    summarise,
    view_of,
)
from apps.resilience.errors import ConflictError, DomainError, InvalidInput, NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.selectors import is_active, require_active
from apps.tenants.services import record_audit

HINT = "workers.tasks.run_simulation"
SLICE_S = 30.0  # a simulation gives its worker free now and then
KEPT = dt.timedelta(days=30)
BOUND = "What rehearsals may cost in a day is used up; the bound begins anew at midnight (UTC)."
CHANGED = "A tool that the draft calls was changed meanwhile: begin again."
log = structlog.get_logger(__name__)


def dry_run(
    *,
    tenant: TenantRef,
    name: str,
    given: dict[str, Any],
    source: str | None = None,
    rehearsal_id: UUID | None = None,
    actor: str = "",
) -> CaseView:
    """Run a workflow's draft (what is published where there is none, or `source`) now, without any effect.

    Nothing is written but the record of it; the same `rehearsal_id` again returns that. Must not run inside a
    transaction.
    Raises NotFoundError, InvalidWorkflowSource, InvalidInput, BoundReached.
    """
    require_active(tenant)
    with in_tenant(tenant):
        version = _draft_of(tenant, name)
        known = RehearsalCase.objects.filter(rehearsal_id=rehearsal_id).first() if rehearsal_id else None
        if known is not None:
            return known.view()
        _require_left()
        settings = get_tool_settings(tenant=tenant)
    written = version.source if source is None else source
    definition = _compile(tenant, written)
    _check_given(definition, given)
    after = rehearse(tenant=tenant, definition=definition, given=given, settings=settings, budget_s=BUDGET_S)
    with in_tenant(tenant):
        rehearsal = Rehearsal(
            workflow=name,
            version=version.number if written == version.source else None,
            hash=definition.hash,
            source=written,
            actor=actor,
        )
        return _store_dry_run(rehearsal, rehearsal_id, given, after)


def start_simulation(
    *,
    tenant: TenantRef,
    name: str,
    selection: Selection,
    against: Against = Against.RECORDED,
    rehearsal_id: UUID | None = None,
    actor: str = "",
) -> RehearsalView:
    """Rehearse a workflow's draft on recorded runs, in the background.

    The same `rehearsal_id` again returns the same simulation. Raises NotFoundError, InvalidWorkflowSource,
    InvalidInput when there is nothing to rehearse, BoundReached, and ConflictError while another is
    under way.
    """
    require_active(tenant)
    with in_tenant(tenant):
        if rehearsal_id is not None and Rehearsal.objects.filter(id=rehearsal_id).exists():
            return get_rehearsal(tenant=tenant, rehearsal_id=rehearsal_id)
        rehearsal = _plan(tenant, name, selection, against)
        rehearsal.id, rehearsal.actor = rehearsal_id or rehearsal.id, actor
        cases = _make_cases(rehearsal, selection)
        rehearsal.total = len(cases)
        with _one_open():
            rehearsal.save(force_insert=True)
        RehearsalCase.objects.bulk_create(cases)
        data = {"cases": rehearsal.total, "hash": rehearsal.hash, "against": against.value}
        record_audit(tenant=tenant, actor=actor, action="workflow.simulated", target=name, data=data)
        transaction.on_commit(lambda: _send_hint(tenant, rehearsal.id))
        return rehearsal.view(Summary())


def run_simulation(*, tenant: TenantRef, rehearsal_id: UUID, slice_s: float = SLICE_S) -> bool:
    """Go on with a simulation for a while; False when there was nothing to do. Outside of transactions only.

    Safe to repeat and to kill at any moment: what is stored is not done again. A suspended tenant's wait.
    """
    claim = claim_rehearsal(tenant=tenant, rehearsal_id=rehearsal_id) if is_active(tenant) else None
    if claim is None:
        return False
    try:
        if _go_on(claim, time.monotonic() + slice_s):
            _send_hint(tenant, rehearsal_id)
    except ClaimLost:
        log.info("simulation_left_to_another", rehearsal_id=str(rehearsal_id))
    return True


def sweep_due_simulations(*, tenant: TenantRef) -> int:
    """Take up a simulation that has lost its hint or its worker; return how many were taken up."""
    with in_tenant(tenant):
        due = list(due_rehearsals().values_list("id", flat=True))
    return sum(run_simulation(tenant=tenant, rehearsal_id=rehearsal_id) for rehearsal_id in due)


def cancel_simulation(*, tenant: TenantRef, rehearsal_id: UUID, actor: str = "") -> RehearsalView:
    """Stop a simulation; its finished cases stay. Raises NotFoundError, ConflictError once it has ended."""
    with in_tenant(tenant):
        rehearsal = Rehearsal.objects.select_for_update().filter(id=rehearsal_id).first()
        if rehearsal is None:
            raise NotFoundError("There is no such rehearsal.")
        if rehearsal.status not in OPEN:
            raise ConflictError(f"The simulation has ended already: it is {rehearsal.status}.")
        rehearsal.status, rehearsal.leased_until = RehearsalStatus.CANCELLED.value, None
        rehearsal.finished_at = timezone.now()
        rehearsal.summary = dataclasses.asdict(summarise(rehearsal_id=rehearsal_id))
        rehearsal.save(update_fields=["status", "leased_until", "finished_at", "summary"])
        record_audit(
            tenant=tenant, actor=actor, action="workflow.simulation_cancelled", target=rehearsal.workflow
        )
        return view_of(rehearsal)


def purge_rehearsals(*, tenant: TenantRef) -> int:
    """Forget rehearsals of more than 30 days ago, with the words in them; return how many."""
    with in_tenant(tenant):
        old = Rehearsal.objects.filter(created_at__lt=timezone.now() - KEPT).exclude(status__in=OPEN)
        return old.delete()[1].get("rehearsals.Rehearsal", 0)


def _store_dry_run(
    rehearsal: Rehearsal, rehearsal_id: UUID | None, given: dict[str, Any], after: Outcome
) -> CaseView:
    rehearsal.id = rehearsal_id or rehearsal.id
    rehearsal.kind, rehearsal.against = RehearsalKind.DRY_RUN.value, Against.RECORDED.value
    rehearsal.status, rehearsal.total, rehearsal.done = RehearsalStatus.DONE.value, 1, 1
    rehearsal.cost_microusd, rehearsal.finished_at = after.cost_microusd, timezone.now()
    rehearsal.save(force_insert=True)
    case = RehearsalCase.objects.create(
        rehearsal=rehearsal,
        position=1,
        status=CaseStatus.DONE.value,
        conversation_id=given.get("conversation_id") or None,
        input=given,
        spent_microusd=after.cost_microusd,
        finished_at=rehearsal.finished_at,
        **values_of(None, after),
    )
    return case.view()


def _plan(tenant: TenantRef, name: str, selection: Selection, against: Against) -> Rehearsal:
    version, published = _draft_of(tenant, name), get_workflow(tenant=tenant, name=name).published
    definition = _compile(tenant, version.source)
    if against is Against.REHEARSED and published is None:
        raise InvalidInput({"against": ["Nothing is published that could be rehearsed beside the draft."]})
    estimate = _require_estimate(tenant, name, selection, against)
    return Rehearsal(
        kind=RehearsalKind.SIMULATION.value,
        workflow=name,
        version=version.number,
        hash=definition.hash,
        source=version.source,
        against=against.value,
        baseline_hash=published.hash if published else "",
        status=RehearsalStatus.QUEUED.value,
        selection=_plain(selection),
        estimate_microusd=estimate.cost_microusd,
    )


def _go_on(claim: Claim, stop_at: float) -> bool:
    """Rehearse case after case; tells whether another slice has to follow."""
    draft = _draft_as_begun(claim)
    if draft is None:
        claim.end(RehearsalStatus.STOPPED, CHANGED)
        return False
    baseline = _baseline_of(claim)
    if claim.rehearsal.attempts > MAX_ATTEMPTS and (case := next_case(claim)):
        claim.store(case, **failed_values(ConflictError(GAVE_UP)))
    while (case := next_case(claim)) is not None:
        if time.monotonic() > stop_at or not is_active(claim.tenant):
            claim.hand_on()
            return True
        try:
            with in_tenant(claim.tenant):
                _require_left()
        except BoundReached as error:
            claim.end(RehearsalStatus.STOPPED, error.detail)
            return False
        claim.store(case, **_rehearsed(claim, case, draft, baseline))
    claim.end(RehearsalStatus.DONE)
    return False


def _rehearsed(
    claim: Claim, case: RehearsalCase, draft: WorkflowDefinition, baseline: WorkflowDefinition | None
) -> dict[str, Any]:
    assert case.run_id is not None
    try:
        return rehearse_recorded(tenant=claim.tenant, run_id=case.run_id, draft=draft, baseline=baseline)
    except DomainError as error:
        return failed_values(error)
    except Exception as error:
        log.warning("case_not_rehearsed", case_id=str(case.id), exc_info=True)
        return failed_values(error)


def _draft_as_begun(claim: Claim) -> WorkflowDefinition | None:
    """Compile what is rehearsed; None when a tool that it calls means something else by now."""
    try:
        draft = preview_workflow(tenant=claim.tenant, source=claim.rehearsal.source)
    except InvalidWorkflow:
        return None
    return draft if draft.hash == claim.rehearsal.hash else None


def _baseline_of(claim: Claim) -> WorkflowDefinition | None:
    if claim.rehearsal.against != Against.REHEARSED:
        return None
    return get_definition(tenant=claim.tenant, digest=claim.rehearsal.baseline_hash)


def _draft_of(tenant: TenantRef, name: str) -> VersionView:
    workflow = get_workflow(tenant=tenant, name=name)
    version = workflow.draft or workflow.published
    if version is None:
        raise NotFoundError(f"The workflow {name!r} has nothing to rehearse: save a draft first.")
    return version


def _compile(tenant: TenantRef, source: str) -> WorkflowDefinition:
    try:
        return preview_workflow(tenant=tenant, source=source)
    except InvalidWorkflow as error:
        raise InvalidWorkflowSource(error.problems) from None


def _check_given(definition: WorkflowDefinition, given: dict[str, Any]) -> None:
    check_input(definition, given)
    for name in ("conversation_id", "customer_id"):
        try:
            UUID(given.get(name) or str(UUID(int=0)))
        except ValueError:
            raise InvalidInput({f"input.{name}": ["This must be an id (a UUID)."]}) from None
    if "\\u0000" in json.dumps(given):
        raise InvalidInput({"input": ["It must not hold the character NUL."]})


def _require_left() -> None:
    left_microusd, left_cases = measure_left()
    if left_microusd <= 0 or left_cases <= 0:
        raise BoundReached(BOUND)


def _require_estimate(tenant: TenantRef, name: str, selection: Selection, against: Against) -> Estimate:
    _check_selection(selection)
    estimate = estimate_simulation(tenant=tenant, workflow=name, selection=selection, against=against)
    if not estimate.cases:
        raise InvalidInput(
            {"last": ["No recorded run of this workflow matches: there is nothing to rehearse."]}
        )
    if not estimate.is_within_bound:
        raise BoundReached(
            f"{estimate.cases} runs would cost about {estimate.cost_microusd / 1e6:.2f} $; left for today "
            f"are {estimate.left_cases} runs and {estimate.left_microusd / 1e6:.2f} $. Choose fewer runs."
        )
    return estimate


def _check_selection(selection: Selection) -> None:
    if not 1 <= selection.last <= MAX_CASES:
        raise InvalidInput({"last": [f"Give 1 to {MAX_CASES} runs."]})
    if selection.since and selection.until and selection.since >= selection.until:
        raise InvalidInput({"until": ["Give a moment after `since`."]})


@contextmanager
def _one_open() -> Iterator[None]:
    try:
        with transaction.atomic():
            yield
    except IntegrityError:
        raise ConflictError("A simulation is under way already: wait for its end, or cancel it.") from None


def _make_cases(rehearsal: Rehearsal, selection: Selection) -> list[RehearsalCase]:
    chosen = choose_runs(workflow=rehearsal.workflow, selection=selection)
    return [
        RehearsalCase(
            rehearsal=rehearsal,
            position=position,
            run_id=run_id,
            conversation_id=conversation_id,
            status=CaseStatus.PENDING.value,
        )
        for position, (run_id, conversation_id) in enumerate(
            chosen.values_list("id", "conversation_id"), start=1
        )
    ]


def _plain(selection: Selection) -> dict[str, Any]:
    told = dataclasses.asdict(selection)
    return {k: v.isoformat() if isinstance(v, dt.datetime) else v for k, v in told.items() if v}


def _send_hint(tenant: TenantRef, rehearsal_id: UUID) -> None:
    try:
        current_app.send_task(HINT, args=[str(tenant.id), str(rehearsal_id)], retry=False)
    except (KombuError, OSError) as error:
        log.warning("hint_not_sent", rehearsal_id=str(rehearsal_id), cause=type(error).__name__)
