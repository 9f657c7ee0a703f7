"""Write what a draft has to show before it is published."""

from __future__ import annotations

import dataclasses

from apps.orchestration.definitions.selectors import get_workflow
from apps.orchestration.rehearsals.contracts import GateRules
from apps.orchestration.rehearsals.models import ReplayGate
from apps.orchestration.rehearsals.selectors import MAX_CASES
from apps.orchestration.rehearsals.services import KEPT
from apps.resilience.errors import InvalidInput
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.services import record_audit


def set_gate(*, tenant: TenantRef, rules: GateRules, actor: str = "") -> GateRules:
    """Say what a draft has to show before it is published, of one workflow or by default of all.

    Raises NotFoundError, InvalidInput.
    """
    _check_rules(rules)
    with in_tenant(tenant):
        if rules.workflow:
            get_workflow(tenant=tenant, name=rules.workflow)
        values = {k: v for k, v in dataclasses.asdict(rules).items() if k != "workflow"}
        before = ReplayGate.objects.filter(workflow=rules.workflow).first()
        former = before.view() if before else None
        ReplayGate.objects.update_or_create(workflow=rules.workflow, defaults=values)
        data = {"before": dataclasses.asdict(former) if former else None, "after": dataclasses.asdict(rules)}
        record_audit(
            tenant=tenant, actor=actor, action="workflow.gate_changed", target=rules.workflow, data=data
        )
        return rules


def remove_gate(*, tenant: TenantRef, workflow: str, actor: str = "") -> None:
    """Let the company's default hold for a workflow again; does nothing where it does already."""
    with in_tenant(tenant):
        if ReplayGate.objects.filter(workflow=workflow).delete()[0]:
            record_audit(tenant=tenant, actor=actor, action="workflow.gate_removed", target=workflow)


def _check_rules(rules: GateRules) -> None:
    errors: dict[str, list[str]] = {}
    if not 1 <= rules.min_cases <= MAX_CASES:
        errors["min_cases"] = [f"Give 1 to {MAX_CASES} cases."]
    if not 1 <= rules.max_age_days <= KEPT.days:
        errors["max_age_days"] = [f"Give 1 to {KEPT.days} days: simulations are kept no longer."]
    if not 0 <= rules.max_new_failures <= MAX_CASES:
        errors["max_new_failures"] = [f"Give 0 to {MAX_CASES}."]
    if not 0 <= rules.max_changed_routes_percent <= 100:
        errors["max_changed_routes_percent"] = ["Give 0 to 100 %."]
    if not 0 <= rules.max_cost_increase_percent <= 1000:
        errors["max_cost_increase_percent"] = ["Give 0 to 1000 %."]
    if errors:
        raise InvalidInput(errors)
