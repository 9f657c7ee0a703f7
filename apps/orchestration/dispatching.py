"""Due runs for whoever executes them: found, claimed fairly, executed."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from uuid import UUID

import structlog

from apps.orchestration.definitions.selectors import get_tool_settings
from apps.orchestration.engine import leases
from apps.orchestration.engine.births import Claim
from apps.orchestration.engine.journal import read_state
from apps.orchestration.models import AgentRun
from apps.orchestration.services import execute_claim
from apps.orchestration.shares import get_run_share
from apps.resilience.errors import NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.selectors import get_tenant, is_active

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class ClaimedRuns:
    """Runs with their leases, for `execute_claimed`; `is_capped`: no more may run until one has ended."""

    runs: list[tuple[AgentRun, leases.Lease]]
    is_capped: bool


def claim_due_runs(*, tenant: TenantRef, most: int) -> ClaimedRuns:
    """Claim a tenant's next due runs, by priority and age, within its plan's cap; none of a suspended one."""
    if not is_active(tenant):
        return ClaimedRuns([], is_capped=False)
    cap, asked_at = get_run_share(tenant=tenant).cap, time.monotonic()
    with in_tenant(tenant):
        runs, is_capped = leases.claim_runs(tenant.id, most=most, cap=cap)
    claimed = [(run, leases.Lease(tenant.id, run.id, run.lease_epoch, renewed_at=asked_at)) for run in runs]
    return ClaimedRuns(claimed, is_capped)


def execute_claimed(*, tenant: TenantRef, run: AgentRun, lease: leases.Lease) -> None:
    """Execute a run that `claim_due_runs` gave, until it rests."""
    try:
        with in_tenant(tenant):
            state = read_state(run)
            claim = Claim(run, state, lease, get_tool_settings(tenant=tenant))
    except Exception:
        log.exception("run_not_read", run_id=str(run.id), tenant_id=str(tenant.id))
        return
    execute_claim(tenant, claim, None)


def sweep_due_runs(*, limit: int) -> int:
    """Execute due runs of all tenants here and now, the tenants taking turns; returns how many it were.

    Workers do the same with many threads (`workers.dispatcher`).
    """
    executed, waiting = 0, list_due_tenants(limit=limit)
    while waiting and executed < limit:
        tenant = waiting.pop(0)
        claimed = claim_due_runs(tenant=tenant, most=1).runs
        for run, lease in claimed:
            execute_claimed(tenant=tenant, run=run, lease=lease)
        executed += len(claimed)
        waiting += [tenant] if claimed else []
    return executed


def list_due_tenants(*, limit: int, after: UUID = leases.NOBODY) -> list[TenantRef]:
    """Return active tenants that have due runs, in the order of their ids."""
    found = []
    for tenant_id in leases.find_due_tenants(limit=limit, after=after):
        with contextlib.suppress(NotFoundError):  # deleted meanwhile
            found.append(get_tenant(tenant_id=tenant_id))
    return found
