"""Ask for a company's deletion, take it back, and remind its owners of it."""

import datetime as dt
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from apps.resilience.errors import ConflictError, InvalidInput, NotFoundError
from apps.tenants.context import in_platform, in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.models import Tenant, TenantDeletion
from apps.tenants.notices import tell_owners
from apps.tenants.selectors import forget_tenant, get_tenant, list_owner_emails
from apps.tenants.services import record_audit

REMIND_DAYS = (7, 1)


def request_deletion(*, tenant: TenantRef, typed_name: str, actor: str) -> TenantDeletion:
    """Have a company deleted after the time of grace; until then it is read only, and this can be taken back.

    Raises InvalidInput unless `typed_name` is the company's name, and ConflictError when asked for again.
    """
    with in_tenant(tenant):
        row = Tenant.objects.select_for_update().get(id=tenant.id)
        if row.status == Tenant.Status.CLOSING:
            raise ConflictError("The deletion was asked for already.")
        if " ".join(typed_name.split()) != " ".join(row.name.split()):
            raise InvalidInput({"typed_name": [f"This is not “{row.name}”, so nothing was changed."]})
        deletion = TenantDeletion.objects.create(
            tenant_id=tenant.id,
            status_before=row.status,
            requested_by=actor[:100],
            recipients=list_owner_emails(tenant=tenant),
            due_at=timezone.now() + dt.timedelta(days=settings.TENANT_DELETION_GRACE_DAYS),
        )
        row.status = Tenant.Status.CLOSING
        row.save(update_fields=["status"])
        data = {"due_at": deletion.due_at.isoformat(), "before": deletion.status_before, "after": row.status}
        record_audit(tenant=tenant, actor=actor, action="tenant.deletion_requested", data=data)
        _tell(
            tenant,
            row.name,
            f"deletion:{deletion.id}",
            f"will be deleted on {deletion.due_at:%d %B %Y}",
            actor,
        )
    forget_tenant(tenant)
    return deletion


def cancel_deletion(*, tenant: TenantRef, actor: str, reason: str = "") -> None:
    """Take a deletion back: the company is what it was before. Raises NotFoundError once it has begun."""
    with in_tenant(tenant):
        deletion = pending_deletion()
        if deletion is None:
            raise NotFoundError("There is no deletion that could be taken back.")
        deletion.status = TenantDeletion.Status.CANCELLED
        deletion.save(update_fields=["status"])
        row = Tenant.objects.select_for_update().get(id=tenant.id)
        row.status = deletion.status_before
        row.save(update_fields=["status"])
        data = {"reason": reason} if reason else {}
        record_audit(tenant=tenant, actor=actor, action="tenant.deletion_cancelled", data=data)
        _tell(tenant, row.name, f"deletion:{deletion.id}:cancelled", "is not deleted", actor)
    forget_tenant(tenant)


def get_deletion(*, tenant: TenantRef) -> TenantDeletion | None:
    """Return the deletion that waits or is on its way."""
    with in_tenant(tenant):
        return TenantDeletion.objects.filter(status__in=["pending", "running"]).first()


def remind_owners() -> None:
    """Mail the owners of companies whose deletion is near; once for each of the days."""
    now = timezone.now()
    with in_platform() as alias:
        pending = TenantDeletion.objects.using(alias).filter(status=TenantDeletion.Status.PENDING)
        near = list(pending.filter(due_at__lt=now + dt.timedelta(days=max(REMIND_DAYS)), due_at__gt=now))
    for deletion in near:
        days = min(day for day in REMIND_DAYS if deletion.due_at - now <= dt.timedelta(days=day))
        tenant = get_tenant(tenant_id=deletion.tenant_id)
        with in_tenant(tenant):
            name = Tenant.objects.get(id=tenant.id).name
            what = f"will be deleted on {deletion.due_at:%d %B %Y}"
            _tell(tenant, name, f"deletion:{deletion.id}:{days}", what, deletion.requested_by)


def list_due_deletions() -> list[UUID]:
    """Return the deletions whose time has come, or whose worker was lost."""
    now = timezone.now()
    with in_platform() as alias:
        rows = TenantDeletion.objects.using(alias).filter(status__in=["pending", "running"], due_at__lte=now)
        free = rows.exclude(leased_until__gt=now)
        return list(free.order_by("due_at").values_list("id", flat=True)[:20])


def pending_deletion() -> TenantDeletion | None:
    """Lock and return the deletion that can still be taken back, in the caller's transaction."""
    pending = TenantDeletion.objects.select_for_update().filter(status=TenantDeletion.Status.PENDING)
    return pending.first()


def _tell(tenant: TenantRef, company: str, key: str, what: str, actor: str) -> None:
    home = settings.PUBLIC_URL.rstrip("/")
    tell_owners(
        tenant=tenant,
        key=key,
        subject=f"{' '.join(company.split())} {what}",
        text=f"{company} {what}; {actor} asked for it.\n\nUntil then everything can be read and exported, "
        f"and an owner can take it back: {home}/app/settings/delete/\n",
    )
