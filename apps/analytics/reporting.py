"""The weekly report by mail: owners who wish it get each week of their zone once."""

import datetime as dt
from zoneinfo import ZoneInfo

import structlog
from django.conf import settings
from django.core.mail import send_mail
from django.utils import timezone

from apps.analytics.kpis import KPIS, Kpi
from apps.analytics.models import ReportSchedule, SentReport
from apps.analytics.selectors import KpiReport, read_kpis
from apps.analytics.spans import ONE_DAY, Span, midnight
from apps.analytics.writing import write_change, write_value
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.selectors import get_tenant_name, get_time_zone, list_owner_emails
from apps.tenants.services import record_audit

log = structlog.get_logger(__name__)
WEEK = dt.timedelta(days=7)
AFTER = dt.timedelta(hours=6)  # a week is told on Monday morning, when its last events have arrived


def set_weekly_report(*, tenant: TenantRef, is_on: bool, actor: str) -> None:
    """Switch the weekly mail on or off; as it is already: changes nothing. Audited."""
    with in_tenant(tenant):
        ReportSchedule.objects.get_or_create()
        schedule = ReportSchedule.objects.select_for_update().get()
        if is_on == (schedule.enabled_at is not None):
            return
        schedule.enabled_at = timezone.now() if is_on else None
        schedule.save(update_fields=["enabled_at"])
        action = "weekly_report.switched_on" if is_on else "weekly_report.switched_off"
        record_audit(tenant=tenant, actor=actor, action=action)


def mail_weekly_report(*, tenant: TenantRef, now: dt.datetime | None = None) -> bool:
    """Mail the last whole week to the owners, once; True where it was sent here."""
    moment = now or timezone.now()
    with in_tenant(tenant):
        week = _last_week(tenant, moment)
        schedule = ReportSchedule.objects.first()
        if schedule is None or schedule.enabled_at is None or schedule.enabled_at >= week.end:
            return False
        owners = list_owner_emails(tenant=tenant)
        if moment < week.end + AFTER or not owners:
            return False
        # The row comes first: a process that dies now costs a mail, it never doubles one.
        sent = SentReport(week_start=week.start)
        if not _claim(sent):
            return False
        subject, text = _compose(get_tenant_name(tenant=tenant), read_kpis(tenant=tenant, span=week))
    return _send(tenant, sent, subject, text, owners)


def _last_week(tenant: TenantRef, moment: dt.datetime) -> Span:
    zone = ZoneInfo(get_time_zone(tenant=tenant))
    today = moment.astimezone(zone).date()
    monday = today - today.weekday() * ONE_DAY
    return Span(midnight(monday - WEEK, zone), midnight(monday, zone), zone)


def _claim(sent: SentReport) -> bool:
    SentReport.objects.bulk_create([sent], ignore_conflicts=True)
    return SentReport.objects.filter(id=sent.id).exists()


def _compose(company: str, report: KpiReport) -> tuple[str, str]:
    first, last = report.span.first_day, report.span.last_day
    subject = f"{company}: {report.values['conversations']} conversations in the week of {first:%d %B %Y}"
    lines = [_line(report, kpi) for kpi in KPIS]
    link = f"{settings.PUBLIC_URL}/app/?start={first}&end={last}"
    text = "\n".join(
        [
            f"{first:%d %B} to {last:%d %B %Y}, in brackets the week before.",
            "",
            *lines,
            "",
            f"The conversations behind each figure: {link}",
            f"No more of these mails: {settings.PUBLIC_URL}/app/reports/",
            "",
        ]
    )
    return subject, text


def _line(report: KpiReport, kpi: Kpi) -> str:
    value, before = report.values[kpi.key], report.before[kpi.key]
    change, _ = write_change(kpi, value, before)
    return (
        f"{kpi.label}: {write_value(kpi, value)} ({write_value(kpi, before)}{', ' if change else ''}{change})"
    )


def _send(tenant: TenantRef, sent: SentReport, subject: str, text: str, owners: list[str]) -> bool:
    try:
        send_mail(subject, text, None, owners)
    except OSError as error:  # smtplib's errors are among these; nothing went out, so the next run tries
        log.warning("report_mail_failed", tenant=tenant.slug, cause=str(error))
        with in_tenant(tenant):
            SentReport.objects.filter(id=sent.id).delete()
        return False
    with in_tenant(tenant):
        SentReport.objects.filter(id=sent.id).update(sent_at=timezone.now())
    return True
