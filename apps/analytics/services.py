"""Settle what silence decides, rebuild and check read models, mail reports, make partitions."""

import datetime as dt
from dataclasses import dataclass

import structlog
from django.db import connection
from django.utils import timezone

from apps.analytics.checking import check_kpis
from apps.analytics.days import refill_days
from apps.analytics.projection import shown_generation, wanted_generation
from apps.analytics.rebuilding import Rebuilt, rebuild
from apps.analytics.reporting import mail_weekly_report, set_weekly_report
from apps.analytics.settling import settle_some
from apps.billing import selectors as billing
from apps.billing.services import check_draft
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef

__all__ = [
    "CheckedFigures",
    "Rebuilt",
    "check_figures",
    "ensure_partitions",
    "mail_weekly_report",
    "rebuild_read_models",
    "set_weekly_report",
    "settle_silences",
]
MONTHS_AHEAD = 3
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class CheckedFigures:
    """What was computed twice, and what came out differently."""

    invoices: int
    differences: list[str]

    @property
    def is_equal(self) -> bool:
        return not self.differences


def check_figures(*, tenant: TenantRef, as_of: dt.datetime | None = None) -> CheckedFigures:
    """Compute KPIs, the draft and the final invoices a second time, from raw events; says what differs."""
    differences = check_kpis(tenant=tenant, as_of=as_of).differences
    for number in billing.list_changed_invoices(tenant=tenant):
        differences.append(f"invoice {number} is not what its events give")
    if check_draft(tenant=tenant) is False:
        differences.append("the draft invoice is not what its events give")
    if differences:
        log.error("figures_differ", tenant=tenant.slug, differences=differences)
    return CheckedFigures(billing.count_invoices(tenant=tenant), differences)


def settle_silences(*, tenant: TenantRef, as_of: dt.datetime | None = None) -> int:
    """Count the conversations whose silence has lasted long enough as resolved; return how many.

    Where the company has changed how long that is, its read models are folded anew with it; where it has
    moved to another time zone, its days are summed up anew.
    """
    if _follow_settings(tenant):
        rebuild(tenant=tenant, as_of=as_of)
    settled = 0
    while True:
        with in_tenant(tenant):
            generation = shown_generation(tenant.id)
            number = settle_some(tenant.id, generation, as_of=as_of or timezone.now())
        if not number:
            return settled
        settled += number


def _follow_settings(tenant: TenantRef) -> bool:
    """Bring the shown days to the company's zone; True where its silence is another: that takes a rebuild."""
    with in_tenant(tenant):
        shown = shown_generation(tenant.id)
        wanted = wanted_generation(tenant.id, number=shown.number)
        if wanted.window == shown.window and wanted.time_zone != shown.time_zone:
            refill_days(tenant.id, shown.number, wanted.time_zone)
        return wanted.window != shown.window


def rebuild_read_models(*, tenant: TenantRef, as_of: dt.datetime | None = None) -> Rebuilt:
    """Fold the whole archive into a new generation, compare it with the one shown, and swap.

    Raises ConflictError while another rebuild is under way.
    """
    return rebuild(tenant=tenant, as_of=as_of)


def ensure_partitions(*, today: dt.date | None = None) -> None:
    """Make the partitions of this month and the next ones; there already, they stay."""
    first = (today or timezone.now().date()).replace(day=1)
    with connection.cursor() as cursor:
        for _ in range(MONTHS_AHEAD + 1):
            cursor.execute("SELECT ensure_analytics_partitions(%s)", [first])
            first = (first + dt.timedelta(days=32)).replace(day=1)
