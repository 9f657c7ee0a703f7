"""How much of the workers a tenant may take: its plan says so."""

from __future__ import annotations

from dataclasses import dataclass

from apps.billing.selectors import get_plan
from apps.resilience.memory import Memory
from apps.tenants.contracts import TenantRef

MEMORY_S = 10.0  # every worker follows a change of the plan within this time


@dataclass(frozen=True)
class RunShare:
    """`cap` runs at a time everywhere together; `weight` is its part where tenants compete."""

    cap: int
    weight: int


_shares: Memory[RunShare] = Memory(MEMORY_S)


def get_run_share(*, tenant: TenantRef) -> RunShare:
    """Return a tenant's share, remembered for a while."""
    return _shares.get((str(tenant.id),), lambda: _read(tenant))


def forget_shares() -> None:
    """Forget what was remembered, for tests."""
    _shares.forget()


def _read(tenant: TenantRef) -> RunShare:
    plan = get_plan(tenant=tenant)
    return RunShare(plan.max_concurrent_runs, plan.run_weight)
