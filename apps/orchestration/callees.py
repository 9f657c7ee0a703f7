"""What tenants' tools and models call, as far as it fails and is left alone for a while."""

from __future__ import annotations

from dataclasses import dataclass

from apps.resilience.breaker import BreakerPhase, BreakerPolicy, Callee, LeftAlone, Verb
from apps.resilience.errors import NotFoundError
from apps.resilience.shared_breakers import breakers
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.services import record_audit

# What the names of policies mean to people.
KINDS = {
    "http_request": "HTTP service",
    "chat_model": "Model",
    "slack": "Slack",
    "mail_server": "Mail server",
    "mcp": "MCP server",
}


@dataclass(frozen=True)
class FailingCallee:
    """A callee that is left alone: failing for so long, asked again in so long, after an error of this class.

    With `is_tried` the next call goes out, or is under way, to see whether it is well again.
    """

    policy: str
    name: str
    kind: str
    failing_for_s: int
    again_in_s: int
    error: str
    failures: int
    is_tried: bool


def list_failing_callees(*, tenant: TenantRef) -> list[FailingCallee]:
    """Return what of the tenant's is left alone now, by name."""
    return [_view(one) for one in breakers().list_left_alone(str(tenant.id))]


def try_callee_now(*, tenant: TenantRef, policy: str, name: str) -> None:
    """Let the next call go out at once. Raises NotFoundError where nothing of this name is left alone."""
    known = {(one.policy, one.name) for one in list_failing_callees(tenant=tenant)}
    if (policy, name) not in known:
        raise NotFoundError("Nothing of this name is left alone any more: it is called as always.")
    breakers().tell(Callee(policy, name, str(tenant.id)), Verb.TRY_NOW, BreakerPolicy())
    with in_tenant(tenant):
        record_audit(tenant=tenant, action="callee.tried_now", target=f"{policy} {name}")


def _view(one: LeftAlone) -> FailingCallee:
    return FailingCallee(
        policy=one.callee.policy,
        name=one.callee.name,
        kind=KINDS.get(one.callee.policy, one.callee.policy),
        failing_for_s=round(one.for_s),
        again_in_s=round(one.wait_s),
        error=one.state.error,
        failures=one.state.failures,
        is_tried=one.state.phase is BreakerPhase.HALF_OPEN,
    )
