"""Calls people when a run cannot go on without them."""

from __future__ import annotations

from collections.abc import Iterable

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.orchestration import metrics
from apps.orchestration.contracts import RunStatus
from apps.orchestration.engine.state import Fact, Kind
from apps.orchestration.models import AgentRun
from apps.tenants.contracts import TenantRef
from apps.tenants.selectors import get_tenant_name, list_admin_emails
from apps.tenants.services import tell_owners

WHAT = {
    RunStatus.WAITING: (
        "a step's outcome is unknown",
        "Its process died in the middle of what must not happen twice. Look where it would show, and "
        "say on the run's page whether it was done; until then the run waits.",
    ),
    RunStatus.COMPENSATION_FAILED: (
        "a step could not be undone",
        "What was done before it stays until this is settled: retry once the cause is mended, or undo it by "
        "hand and say so on the run's page.",
    ),
}


def alert(tenant: TenantRef, run: AgentRun, facts: Iterable[Fact]) -> None:
    """Tell those who may act on runs of what these facts ask of them, in the transaction that stores them."""
    for need in filter(None, map(_need, facts)):
        labels = (str(tenant.id), run.workflow_name, need.value)
        transaction.on_commit(metrics.runs_in_need_total.labels(*labels).inc, robust=True)
        _mail(tenant, run, need)


def _need(fact: Fact) -> RunStatus | None:
    if fact.kind is Kind.STEP_UNKNOWN:
        return RunStatus.WAITING
    is_stuck = fact.kind is Kind.RUN_ENDED and fact.data["status"] == RunStatus.COMPENSATION_FAILED
    return RunStatus.COMPENSATION_FAILED if is_stuck else None


def _mail(tenant: TenantRef, run: AgentRun, need: RunStatus) -> None:
    """Note one mail an hour for each workflow: a service that is down may bring thousands of runs here."""
    what, how = WHAT[need]
    home, hour = settings.PUBLIC_URL.rstrip("/"), timezone.now().strftime("%Y-%m-%dT%H")
    company = " ".join(get_tenant_name(tenant=tenant).split())
    text = (
        f"A run of the workflow {run.workflow_name} of {company} needs a person: {what}.\n\n{how}\n\n"
        f"This run: {home}/app/runs/{run.id}/\nAll of them: {home}/app/runs/?status={need}\n\n"
        "Of further ones within this hour the dashboard tells.\n"
    )
    tell_owners(
        tenant=tenant,
        key=f"run-{need}/{run.workflow_name}/{hour}",
        subject=f"{company}: {what}",
        text=text,
        recipients=list_admin_emails(tenant=tenant),
    )
