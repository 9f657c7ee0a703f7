"""What a company says about itself, and a person about themselves."""

from typing import Any
from uuid import UUID

from apps.resilience.errors import InvalidInput, NotAllowed
from apps.tenants.context import in_tenant
from apps.tenants.contracts import Role, TenantRef
from apps.tenants.models import Membership, Tenant, User
from apps.tenants.selectors import SILENCE_HOURS, list_time_zones
from apps.tenants.services import record_audit

MAX_NAME = 200
MAX_SILENCE_HOURS = 30 * 24


def read_settings(*, tenant: TenantRef) -> dict[str, Any]:
    """Return name, time_zone and silence_hours."""
    with in_tenant(tenant):
        row = Tenant.objects.get(id=tenant.id)
    return {
        "name": row.name,
        "time_zone": row.time_zone,
        "silence_hours": row.config.get("silence_hours", SILENCE_HOURS),
    }


def update_settings(*, tenant: TenantRef, name: str, time_zone: str, silence_hours: int, actor: str) -> None:
    """Change the company's settings; audited with before and after. Raises InvalidInput."""
    _check(name, time_zone, silence_hours)
    after = {"name": name.strip(), "time_zone": time_zone, "silence_hours": silence_hours}
    with in_tenant(tenant):
        row = Tenant.objects.select_for_update().get(id=tenant.id)
        before = read_settings(tenant=tenant)
        if before == after:
            return
        row.name, row.time_zone = after["name"], time_zone
        row.config = {**row.config, "silence_hours": silence_hours}
        row.save(update_fields=["name", "time_zone", "config"])
        data = {"before": before, "after": after}
        record_audit(tenant=tenant, actor=actor, action="settings.changed", data=data)


def set_requires_mfa(*, tenant: TenantRef, is_required: bool, actor: str, actor_role: Role) -> None:
    """Ask members for a second factor from their next request on, or no more; audited. Raises NotAllowed."""
    if actor_role is not Role.OWNER:
        raise NotAllowed("Only an owner decides about the second step. Ask one of them.")
    with in_tenant(tenant):
        row = Tenant.objects.select_for_update().get(id=tenant.id)
        before = bool(row.config.get("requires_mfa", False))
        if before == is_required:
            return
        row.config = {**row.config, "requires_mfa": is_required}
        row.save(update_fields=["config"])
        data = {"before": {"requires_mfa": before}, "after": {"requires_mfa": is_required}}
        record_audit(tenant=tenant, actor=actor, action="settings.changed", data=data)


def update_profile(*, tenant: TenantRef, user_id: UUID, name: str, wants_mail: bool) -> None:
    """Change a person's name, and whether this company mails them when a customer waits."""
    with in_tenant(tenant):
        User.objects.filter(id=user_id).update(name=name.strip())
        Membership.objects.filter(user_id=user_id).update(wants_mail=wants_mail)


def _check(name: str, time_zone: str, silence_hours: int) -> None:
    errors: dict[str, list[str]] = {}
    if not 1 <= len(name.strip()) <= MAX_NAME:
        errors["name"] = [f"Use 1 to {MAX_NAME} characters."]
    if time_zone not in dict(list_time_zones()):
        errors["time_zone"] = ["Choose a time zone such as Europe/Berlin."]
    if not 1 <= silence_hours <= MAX_SILENCE_HOURS:
        errors["silence_hours"] = [f"Give 1 to {MAX_SILENCE_HOURS} hours."]
    if errors:
        raise InvalidInput(errors)
