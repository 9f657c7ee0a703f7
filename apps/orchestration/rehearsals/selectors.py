"""Read rehearsals, their cases, and what they have cost."""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import BigIntegerField, Count, F, Q, QuerySet, Sum
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Coalesce
from django.utils import timezone

from apps.inference.services import price_chat
from apps.orchestration.contracts import RunStatus
from apps.orchestration.models import AgentRun
from apps.orchestration.rehearsals.contracts import (
    Against,
    CaseStatus,
    CaseView,
    Change,
    Estimate,
    RehearsalKind,
    RehearsalView,
    Selection,
    Summary,
)
from apps.orchestration.rehearsals.models import Rehearsal, RehearsalCase
from apps.resilience.errors import NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef

MAX_CASES = 500
ENDED = [status.value for status in RunStatus if status.is_end and status is not RunStatus.CANCELLED]
UNDER_WAY = [status.value for status in RunStatus if not status.is_end]
# So many of a company's newest runs are looked at: what is asked for may be rare, or not there at all.
LOOKED_AT = 20_000
FILTERS: dict[Change, Q] = {
    Change.CHANGED: Q(rank__gt=0),
    Change.ANSWER: Q(answer_changed=True),
    Change.ROUTE: Q(route_changed=True),
    Change.STEPS: Q(steps_changed=True),
    Change.CALLS: Q(calls_changed=True),
    Change.FAILURE: Q(is_new_failure=True) | Q(status=CaseStatus.FAILED),
    Change.MENDED: Q(is_mended=True),
    Change.ESCALATION: ~Q(escalation=0),
    Change.SAME: Q(rank=0, status=CaseStatus.DONE),
}


def get_rehearsal(*, tenant: TenantRef, rehearsal_id: UUID) -> RehearsalView:
    """Return a rehearsal with what it has shown so far; raises NotFoundError."""
    with in_tenant(tenant):
        rehearsal = Rehearsal.objects.defer("source").filter(id=rehearsal_id).first()
        if rehearsal is None:
            raise NotFoundError("There is no such rehearsal.")
        return view_of(rehearsal)


def view_of(rehearsal: Rehearsal) -> RehearsalView:
    """Shape a rehearsal, in the caller's transaction; an ended one keeps its summary with it."""
    return rehearsal.view(
        Summary(**rehearsal.summary) if rehearsal.summary else summarise(rehearsal_id=rehearsal.id)
    )


def query_simulations(*, workflow: str) -> QuerySet[Rehearsal]:
    """Choose a workflow's simulations, in the caller's transaction of its tenant."""
    return Rehearsal.objects.defer("source").filter(workflow=workflow, kind=RehearsalKind.SIMULATION)


def query_cases(*, rehearsal_id: UUID, change: str = "") -> QuerySet[RehearsalCase]:
    """Choose the finished cases of a rehearsal, in the caller's transaction of its tenant."""
    cases = RehearsalCase.objects.filter(rehearsal_id=rehearsal_id).exclude(status=CaseStatus.PENDING)
    return cases.filter(FILTERS[Change(change)]) if change else cases


def get_case(*, tenant: TenantRef, rehearsal_id: UUID, number: int) -> CaseView:
    """Return one case of a rehearsal by its number; raises NotFoundError."""
    with in_tenant(tenant):
        case = RehearsalCase.objects.filter(rehearsal_id=rehearsal_id, position=number).first()
    if case is None:
        raise NotFoundError("There is no such case of this rehearsal.")
    return case.view()


def summarise(*, rehearsal_id: UUID) -> Summary:
    """Sum up the cases that are finished, in the caller's transaction of its tenant."""
    done = Q(status=CaseStatus.DONE)
    counted = {
        "cases": Q(),
        "same_answers": Q(answer_changed=False),
        "changed_routes": Q(route_changed=True),
        "changed_calls": Q(calls_changed=True),
        "changed_steps": Q(steps_changed=True),
        "new_failures": Q(is_new_failure=True),
        "mended": Q(is_mended=True),
        "more_escalations": Q(escalation__gt=0),
        "fewer_escalations": Q(escalation__lt=0),
    }
    summed = (
        "tokens_before", "tokens_after", "cost_before_microusd", "cost_after_microusd", "duration_before_ms",
        "duration_after_ms",
    )  # fmt: skip
    cases = RehearsalCase.objects.filter(rehearsal_id=rehearsal_id)
    found = cases.aggregate(
        failed=Count("id", filter=Q(status=CaseStatus.FAILED)),
        **{name: Count("id", filter=done & condition) for name, condition in counted.items()},
    )
    sums = cases.aggregate(**{f"sum_{name}": Coalesce(Sum(name, filter=done), 0) for name in summed})
    return Summary(**found, **{name.removeprefix("sum_"): int(value) for name, value in sums.items()})


def choose_runs(*, workflow: str, selection: Selection) -> QuerySet[AgentRun]:
    """Choose the recorded runs that a selection means, newest first, in the caller's transaction."""
    newest = _newest_runs()
    if selection.since:
        newest = newest.filter(created_at__gte=selection.since)
    if selection.until:
        newest = newest.filter(created_at__lt=selection.until)
    looked_at = newest.values("id")[:LOOKED_AT]
    ended = {"workflow_name": workflow, "status__in": ENDED, "output__isnull": False}
    runs = AgentRun.objects.filter(id__in=looked_at, **ended)
    if selection.intent:
        runs = runs.filter(output__receipt__intent=selection.intent)
    if selection.only_escalated:
        runs = runs.filter(output__receipt__escalated=True)
    return runs.order_by("-created_at", "-id")[: min(selection.last, MAX_CASES)]


def estimate_simulation(
    *, tenant: TenantRef, workflow: str, selection: Selection, against: Against
) -> Estimate:
    """Tell what a simulation would take, by what its runs have taken, and how much is left for today."""
    times = 2 if against is Against.REHEARSED else 1
    with in_tenant(tenant):
        chosen = choose_runs(workflow=workflow, selection=selection).values("id")
        rows = list(
            AgentRun.objects.filter(id__in=chosen)
            .annotate(model=KeyTextTransform("model", F("output__receipt")))
            .values("model")
            .order_by("model")
            .annotate(n=Count("id"), prompt=_tokens("prompt_tokens"), completion=_tokens("completion_tokens"))
        )
        left_microusd, left_cases = measure_left()
    cost = sum(price_chat(row["model"] or "", row["prompt"], row["completion"]) for row in rows)
    return Estimate(
        cases=sum(row["n"] for row in rows),
        prompt_tokens=times * sum(row["prompt"] for row in rows),
        completion_tokens=times * sum(row["completion"] for row in rows),
        cost_microusd=times * cost,
        left_microusd=left_microusd,
        left_cases=left_cases,
    )


def measure_left() -> tuple[int, int]:
    """Return how many micro-dollars and cases are left for today (UTC), in the caller's transaction."""
    midnight = timezone.now().astimezone(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    today = RehearsalCase.objects.filter(finished_at__gte=midnight)
    spent = today.aggregate(cost=Coalesce(Sum("spent_microusd"), 0), cases=Count("id"))
    return (
        max(0, settings.REHEARSAL_DAILY_MICROUSD - int(spent["cost"])),
        max(0, settings.REHEARSAL_DAILY_CASES - spent["cases"]),
    )


def count_under_way(*, tenant: TenantRef, workflow: str) -> list[dict[str, Any]]:
    """Count a workflow's runs that have not ended, by the version they keep; among the newest of all."""
    with in_tenant(tenant):
        looked_at = _newest_runs().values("id")[:LOOKED_AT]
        moving = AgentRun.objects.filter(id__in=looked_at, workflow_name=workflow, status__in=UNDER_WAY)
        counted = moving.values("workflow_hash", "workflow_version")
        rows = counted.annotate(runs=Count("id")).order_by("-runs", "workflow_hash")
        return [
            {"hash": row["workflow_hash"], "version": row["workflow_version"], "runs": row["runs"]}
            for row in rows
        ]


def _newest_runs() -> QuerySet[AgentRun]:
    return AgentRun.objects.order_by("-created_at", "-id")


def _tokens(name: str) -> Coalesce:
    return Coalesce(Sum(Cast(KeyTextTransform(name, F("output__receipt")), BigIntegerField())), 0)
