"""Check the draft: what the read model says beside what the raw events say."""

import datetime as dt
from decimal import Decimal

import structlog
from celery import current_app
from django.db import IntegrityError, transaction
from django.utils import timezone
from kombu.exceptions import KombuError

from apps.billing.contracts import Period
from apps.billing.drafting import PricedLine, compose_lines, late_sums_from_buckets
from apps.billing.metrics import DRAFT_DIFFERENCES
from apps.billing.models import BillingAccount, DraftCheck
from apps.billing.sums import UsageSums, lock_usage, read_clock, sum_buckets, sum_events
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.services import record_audit

HINT = "workers.tasks.check_draft"
log = structlog.get_logger(__name__)


def request_draft_check(*, tenant: TenantRef, actor: str) -> None:
    """Ask a worker to compute the draft from the raw events; one request at a time waits."""
    with in_tenant(tenant):
        try:
            with transaction.atomic():
                DraftCheck.objects.create()
        except IntegrityError:
            return
        record_audit(tenant=tenant, actor=actor, action="draft_invoice.check_requested")
        transaction.on_commit(lambda: _hint(tenant))


def check_draft(*, tenant: TenantRef, only_if_asked: bool = False) -> bool | None:
    """Compare both drafts as of one moment and keep the result; None when nobody asked."""
    with in_tenant(tenant):
        account = BillingAccount.objects.first()
        asked = DraftCheck.objects.filter(finished_at__isnull=True).exists()
        if account is None or (only_if_asked and not asked):
            return None
        # For some milliseconds nothing is stored: the moment to which the raw events are then added up.
        lock_usage(tenant.id, shared=False)
        moment = read_clock()
        period = Period(account.open_from, account.closes_at)
        read = UsageSums(
            own=sum_buckets(start=period.start, end=period.end),
            late=late_sums_from_buckets(period.start, account.stored_until),
        )
    with in_tenant(tenant):
        raw = sum_events(
            start=period.start, end=period.end, stored_after=account.stored_until, stored_until=moment
        )
        check = _keep(compose_lines(period, read), compose_lines(period, raw), raw.event_count)
    if check.differing_kinds:
        DRAFT_DIFFERENCES.inc()
        log.error("draft_differs", tenant=tenant.slug, kinds=check.differing_kinds)
    return not check.differing_kinds


def _keep(quick: list[PricedLine], exact: list[PricedLine], event_count: int) -> DraftCheck:
    waiting = DraftCheck.objects.select_for_update().filter(finished_at__isnull=True).first()
    check = waiting or DraftCheck()
    check.read_model_cents = sum(priced.line.amount_cents for priced in quick)
    check.events_cents = sum(priced.line.amount_cents for priced in exact)
    check.event_count, check.finished_at = event_count, timezone.now()
    differing = set(map(_signature, quick)) ^ set(map(_signature, exact))
    check.differing_kinds = sorted({kind or "base fee" for kind, *_ in differing})
    check.save()
    return check


def _signature(priced: PricedLine) -> tuple[str, str, dt.datetime, int, Decimal]:
    line = priced.line
    return line.kind, line.type, line.period.start, line.quantity, line.amount


def _hint(tenant: TenantRef) -> None:
    try:
        current_app.send_task(HINT, args=[str(tenant.id)], retry=False)
    except (KombuError, OSError):
        log.warning("hint_lost", tenant=tenant.slug)
