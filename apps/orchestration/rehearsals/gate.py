"""The replay gate: whether a draft has been rehearsed well enough to be published."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from functools import partial

from django.utils import timezone

from apps.orchestration.definitions.contracts import VersionState
from apps.orchestration.definitions.language.compiler import InvalidWorkflow
from apps.orchestration.definitions.models import Workflow, WorkflowVersion
from apps.orchestration.definitions.services import preview_workflow
from apps.orchestration.rehearsals.contracts import (
    Check,
    GateNotPassed,
    GateRules,
    GateState,
    RehearsalKind,
    RehearsalStatus,
    Summary,
)
from apps.orchestration.rehearsals.models import Rehearsal, ReplayGate
from apps.resilience.errors import NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef

NO_GATE = "No simulation is asked for before this workflow is published."
FIRST = "Nothing is published yet: there are no runs that a draft could be compared by."
RETURN = "It was published before: one can return to it at once."
REQUIRED = "A simulation of exactly this draft has to show the following."


def get_rules(*, tenant: TenantRef, workflow: str = "") -> GateRules:
    """Return the rules of a workflow, else the company's, else those that ask for nothing."""
    with in_tenant(tenant):
        rows = {row.workflow: row for row in ReplayGate.objects.filter(workflow__in={"", workflow})}
    found = rows.get(workflow) or rows.get("")
    return found.view() if found else GateRules()


def get_gate_state(*, tenant: TenantRef, workflow: str) -> GateState | None:
    """Tell how a workflow's draft stands before the gate; None without a draft. Raises NotFoundError."""
    with in_tenant(tenant):
        if not Workflow.objects.filter(name=workflow).exists():
            raise NotFoundError(f"There is no workflow {workflow!r}.")
        draft = WorkflowVersion.objects.filter(workflow__name=workflow, state=VersionState.DRAFT).first()
        return _judge(tenant, workflow, draft, _digest_of(tenant, draft)) if draft else None


def require_passed(*, tenant: TenantRef, workflow: str, version: WorkflowVersion, digest: str) -> None:
    """Refuse to publish a version that has not passed, in the caller's transaction; raises GateNotPassed.

    `digest` names what it compiles to: its source, and what the tools that it calls mean.
    """
    state = _judge(tenant, workflow, version, digest)
    if state.is_passed:
        return
    missing = [check for check in state.checks if not check.is_met]
    told = " ".join(f"{check.text} {check.fix}".strip() for check in missing)
    error = GateNotPassed(f"The draft is not published: {told}")
    error.members = {
        "checks": [{"name": c.name, "is_met": c.is_met, "text": c.text, "fix": c.fix} for c in state.checks]
    }
    raise error


def _judge(tenant: TenantRef, workflow: str, version: WorkflowVersion, digest: str) -> GateState:
    rules = get_rules(tenant=tenant, workflow=workflow)
    open_because = partial(GateState, rules=rules, digest=digest, applies=False)
    if not rules.is_required:
        return open_because(reason=NO_GATE)
    if version.published_at is not None:
        return open_because(reason=RETURN)
    published = WorkflowVersion.objects.filter(workflow__name=workflow, state=VersionState.PUBLISHED)
    if not published.exists():
        return open_because(reason=FIRST)
    newest = _newest(workflow, digest)
    return GateState(
        rules=rules,
        digest=digest,
        applies=True,
        reason=REQUIRED,
        checks=list(_checks(rules, newest)),
        rehearsal_id=newest.id if newest else None,
    )


def _digest_of(tenant: TenantRef, draft: WorkflowVersion) -> str:
    try:
        return preview_workflow(tenant=tenant, source=draft.source).hash
    except InvalidWorkflow:
        return draft.hash


def _newest(workflow: str, digest: str) -> Rehearsal | None:
    done = Rehearsal.objects.filter(
        workflow=workflow, hash=digest, kind=RehearsalKind.SIMULATION, status=RehearsalStatus.DONE
    )
    return done.defer("source").order_by("-finished_at").first()


def _checks(rules: GateRules, newest: Rehearsal | None) -> Iterator[Check]:
    simulate = f"Simulate it on at least {rules.min_cases} recorded runs."
    yield Check(
        name="simulated",
        is_met=newest is not None,
        text="A simulation of exactly this draft has ended." if newest else "This draft was not simulated.",
        fix="" if newest else simulate,
    )
    if newest is None or newest.finished_at is None:
        return
    shown = Summary(**(newest.summary or {}))
    age = timezone.now() - newest.finished_at
    yield _check(
        "cases", shown.cases >= rules.min_cases, f"{shown.cases} cases of {rules.min_cases}.", simulate
    )
    is_recent = age <= dt.timedelta(days=rules.max_age_days)
    yield _check(
        "age", is_recent, f"{age.days} days old, {rules.max_age_days} allowed.", "Simulate it again."
    )
    failures, bound = shown.new_failures + shown.failed, rules.max_new_failures
    text = f"{failures} new failures, {bound} allowed."
    yield _check("failures", failures <= bound, text, "Look at the cases that fail, and mend the draft.")
    routes, share = shown.changed_routes_percent, rules.max_changed_routes_percent
    text = f"{routes:g} % of the routes changed, {share:g} % allowed."
    yield _check("routes", routes <= share, text, "Look at the cases that take another route.")
    cost, growth = shown.cost_increase_percent, rules.max_cost_increase_percent
    text = f"The cost changes by {cost:+g} %, at most {growth:+g} % is allowed."
    yield _check("cost", cost <= growth, text, "Look at what the changed steps cost.")


def _check(name: str, is_met: bool, text: str, fix: str) -> Check:
    return Check(name=name, is_met=is_met, text=text, fix="" if is_met else fix)
