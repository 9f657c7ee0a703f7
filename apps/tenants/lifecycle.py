"""What the platform's staff does to a tenant; each act is audited in the tenant's own trail."""

from django.conf import settings
from uuid_utils.compat import uuid7

from apps.resilience.errors import ConflictError, InvalidInput
from apps.tenants.context import in_tenant
from apps.tenants.contracts import Role, TenantRef
from apps.tenants.models import Tenant
from apps.tenants.notices import tell_owners
from apps.tenants.selectors import forget_tenant
from apps.tenants.services import record_audit

VISITING_ROLES = (Role.VIEWER, Role.ADMIN)


def suspend_tenant(*, tenant: TenantRef, reason: str, actor: str) -> None:
    """Stop a tenant's writing and its AI; reading goes on. Known everywhere within two seconds.

    Its runs, documents and trainings wait where they are. Raises InvalidInput, and ConflictError for a
    tenant that is about to be deleted.
    """
    _set_status(tenant, Tenant.Status.ACTIVE, Tenant.Status.SUSPENDED, "suspended", reason, actor)


def resume_tenant(*, tenant: TenantRef, reason: str, actor: str) -> None:
    """Let a suspended tenant work again; what waited goes on by itself. Raises as `suspend_tenant`."""
    _set_status(tenant, Tenant.Status.SUSPENDED, Tenant.Status.ACTIVE, "resumed", reason, actor)


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


def _set_status(tenant: TenantRef, was: str, status: str, done: str, reason: str, actor: str) -> None:
    data = {"reason": _required(reason), "before": was, "after": status}
    with in_tenant(tenant):
        row = Tenant.objects.select_for_update().get(id=tenant.id)
        if row.status == status:
            return
        if row.status != was:
            raise ConflictError(f"This company is {row.status}, so it cannot be {done}.")
        row.status = status
        row.save(update_fields=["status"])
        record_audit(tenant=tenant, actor=actor, action=f"tenant.{done}", data=data)
        _tell(tenant, row.name, done, data["reason"])
    forget_tenant(tenant)


def _tell(tenant: TenantRef, company: str, done: str, reason: str) -> None:
    what = {
        "suspended": "Everything can be read and exported; nothing is answered and nothing new is begun.",
        "resumed": "What waited meanwhile goes on by itself.",
    }[done]
    tell_owners(
        tenant=tenant,
        key=f"{done}:{uuid7()}",
        subject=f"{' '.join(company.split())}: the account is {done}",
        text=f"The account of {company} is {done}.\n\nReason: {reason}\n\n{what}\n\n"
        f"{settings.PUBLIC_URL.rstrip('/')}/app/\n",
    )


def _required(reason: str) -> str:
    if not reason.strip():
        raise InvalidInput({"reason": ["Say why; the tenant can read it in its audit trail."]})
    return reason.strip()[:500]
