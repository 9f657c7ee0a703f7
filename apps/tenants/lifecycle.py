"""What the platform's staff does to a tenant; each act is audited in the tenant's own trail."""

from apps.resilience.errors import InvalidInput
from apps.tenants.context import in_tenant
from apps.tenants.contracts import Role, TenantRef
from apps.tenants.models import Tenant
from apps.tenants.selectors import forget_tenant
from apps.tenants.services import record_audit

VISITING_ROLES = (Role.VIEWER, Role.ADMIN)


def suspend_tenant(*, tenant: TenantRef, reason: str, actor: str) -> None:
    """Stop a tenant's writing and its AI; reading goes on. Known everywhere within half a minute."""
    _set_status(tenant, Tenant.Status.SUSPENDED, "tenant.suspended", reason, actor)


def resume_tenant(*, tenant: TenantRef, reason: str, actor: str) -> None:
    """Let a suspended tenant work again."""
    _set_status(tenant, Tenant.Status.ACTIVE, "tenant.resumed", reason, actor)


def begin_visit(*, tenant: TenantRef, role: Role, reason: str, actor: str) -> None:
    """Record that a staff member looks at a tenant's dashboard; raises InvalidInput."""
    if role not in VISITING_ROLES:
        raise InvalidInput({"role": ["Visit as a viewer or as an admin."]})
    data = {"role": role.value, "reason": _required(reason)}
    with in_tenant(tenant):
        record_audit(tenant=tenant, actor=actor, action="staff.visit_began", data=data)


def end_visit(*, tenant: TenantRef, actor: str) -> None:
    """Record that a staff member has left a tenant's dashboard."""
    with in_tenant(tenant):
        record_audit(tenant=tenant, actor=actor, action="staff.visit_ended")


def _set_status(tenant: TenantRef, status: str, action: str, reason: str, actor: str) -> None:
    data = {"reason": _required(reason)}
    with in_tenant(tenant):
        if Tenant.objects.filter(id=tenant.id).exclude(status=status).update(status=status):
            record_audit(tenant=tenant, actor=actor, action=action, data=data)
    forget_tenant(tenant)


def _required(reason: str) -> str:
    if not reason.strip():
        raise InvalidInput({"reason": ["Say why; the tenant can read it in its audit trail."]})
    return reason.strip()[:500]
