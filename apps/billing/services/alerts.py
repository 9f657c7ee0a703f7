"""Tell when a quota passes 80 and 100%: once for each quota and period, whoever sees it first."""

import threading
import time
from typing import NamedTuple
from uuid import UUID

import structlog
from django.conf import settings
from django.core.mail import send_mail
from django.utils import timezone

from apps.billing.contracts import Period, QuotaState, label_of
from apps.billing.events import QuotaThresholdReached
from apps.billing.models import QuotaAlert
from apps.billing.selectors.usage import get_subscription, list_quotas
from apps.events.services import publish
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.selectors import list_owner_emails

log = structlog.get_logger(__name__)
THRESHOLDS = (80, 100)
LOOK_AGAIN_S = 30.0  # another process may have counted what this one has not
MEMORY_SIZE = 50_000


class Distance(NamedTuple):
    """How many units are left to the next threshold, and until when this process may believe that."""

    units: int
    until: float


_distances: dict[tuple[UUID, str], Distance] = {}
_lock = threading.Lock()


def note_usage(*, tenant: TenantRef, kind: str, quantity: int) -> None:
    """Look at a quota when what was just counted may have passed a threshold, in the same transaction."""
    with _lock:
        known = _distances.get((tenant.id, kind))
        if known and known.units > quantity and known.until > time.monotonic():
            _distances[tenant.id, kind] = known._replace(units=known.units - quantity)
            return
    check_quotas(tenant=tenant, kinds=[kind])


def check_quotas(*, tenant: TenantRef, kinds: list[str] | None = None) -> int:
    """Raise the alerts that are due in the current period; returns how many are new."""
    with in_tenant(tenant):
        period = get_subscription(tenant=tenant).period
        quotas = list_quotas(tenant=tenant, kinds=kinds) if kinds else list_quotas(tenant=tenant)
        for quota in quotas:
            _remember(tenant, quota)
        return sum(
            _raise(tenant, quota, threshold, period)
            for quota in quotas
            if quota.limit is not None
            for threshold in THRESHOLDS
            if quota.used_percent >= threshold
        )


def mail_quota_alerts(*, tenant: TenantRef) -> int:
    """Mail the alerts of the current period to the tenant's owners; returns how many.

    Each is claimed before it is sent: a mail may be lost with its process, but never comes twice.
    """
    with in_tenant(tenant):
        period = get_subscription(tenant=tenant).period
        waiting = QuotaAlert.objects.filter(mailed_at__isnull=True, period_start=period.start)
        alerts = list(waiting.select_for_update(skip_locked=True))
        owners = list_owner_emails(tenant=tenant) if alerts else []
        waiting.filter(id__in=[alert.id for alert in alerts]).update(mailed_at=timezone.now())
    for alert in alerts:
        _mail(tenant, alert, owners)
    return len(alerts) if owners else 0


def forget_distances() -> None:
    """Look anew at every quota, for tests and after a plan was changed in this process."""
    with _lock:
        _distances.clear()


def _raise(tenant: TenantRef, quota: QuotaState, threshold: int, period: Period) -> bool:
    alert = QuotaAlert(
        kind=quota.kind,
        period_start=period.start,
        threshold_percent=threshold,
        used=quota.used,
        limit=quota.limit or 0,
    )
    event = QuotaThresholdReached(
        tenant_id=tenant.id,
        kind=quota.kind,
        threshold_percent=threshold,
        used=quota.used,
        limit=quota.limit or 0,
        period_start=period.start,
    )
    if not publish(event):  # its id is the quota, the period and the threshold: told before
        return False
    QuotaAlert.objects.bulk_create([alert], ignore_conflicts=True)
    return True


def _mail(tenant: TenantRef, alert: QuotaAlert, owners: list[str]) -> None:
    subject = f"{label_of(alert.kind)}: {alert.threshold_percent}% of the quota used"
    text = (
        f"{alert.used:,} of {alert.limit:,} are used in the period that began on "
        f"{alert.period_start:%d %B %Y} (UTC).\n\n{settings.PUBLIC_URL}/app/usage/\n"
    )
    try:
        send_mail(subject, text, None, owners)
    except OSError as error:  # smtplib's errors are among these
        log.warning("quota_mail_lost", tenant=tenant.slug, kind=alert.kind, cause=str(error))


def _remember(tenant: TenantRef, quota: QuotaState) -> None:
    with _lock:
        if len(_distances) >= MEMORY_SIZE:
            _distances.clear()
        _distances[tenant.id, quota.kind] = Distance(_units_left(quota), time.monotonic() + LOOK_AGAIN_S)


def _units_left(quota: QuotaState) -> int:
    if quota.limit is None:
        return 1 << 62
    marks = [-(-quota.limit * threshold // 100) for threshold in THRESHOLDS]
    return min((mark - quota.used for mark in marks if mark > quota.used), default=1 << 62)
