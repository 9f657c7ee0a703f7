"""Tell Slack that a customer waits for a person: once for each escalation, never in its transaction."""

from __future__ import annotations

import datetime as dt
from uuid import UUID

import structlog
from django.conf import settings
from django.db.models.functions import Now
from django.utils import timezone

from apps.conversations.contracts import EscalationStatus, EscalationView
from apps.conversations.selectors import get_escalation
from apps.orchestration.definitions.selectors import get_tool_settings
from apps.orchestration.notices.contracts import NoticeStatus
from apps.orchestration.notices.models import OPEN, SlackNotice
from apps.orchestration.steps.context import OutcomeUnknown, StepFailed
from apps.orchestration.tools.slack import TOOL, find_in_slack, send_to_slack
from apps.resilience.errors import NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef

MAX_ATTEMPTS, FIRST_DELAY_S, LEASE_S, AT_ONCE = 8, 30, 60, 50
log = structlog.get_logger(__name__)


def ask_for_notice(*, tenant: TenantRef, escalation_id: UUID) -> None:
    """Note that Slack is to be told, in the caller's transaction; nothing where Slack is not set up."""
    setup = get_tool_settings(tenant=tenant).get(TOOL, {})
    if setup.get("is_enabled") and (setup.get("token") or setup.get("incoming_webhook_secret")):
        with in_tenant(tenant):
            SlackNotice.objects.bulk_create([SlackNotice(escalation_id=escalation_id)], ignore_conflicts=True)


def send_slack_notices(*, tenant: TenantRef) -> int:
    """Tell Slack what is due; returns how many notices arrived."""
    sent = 0
    for _ in range(AT_ONCE):
        notice, escalation, was_lost = _claim(tenant)
        if notice is None:
            break
        if escalation is not None:
            sent += _deliver(tenant, notice, escalation, was_lost=was_lost)
    return sent


def _claim(tenant: TenantRef) -> tuple[SlackNotice | None, EscalationView | None, bool]:
    """Commit the intent to send one notice; no escalation where nobody needs to know any more."""
    with in_tenant(tenant):
        due = SlackNotice.objects.filter(status__in=OPEN, due_at__lte=Now()).order_by("due_at")
        notice = due.select_for_update(skip_locked=True).first()
        if notice is None:
            return None, None, False
        was_lost = notice.status == NoticeStatus.SENDING
        escalation = _find_open(tenant, notice.escalation_id)
        notice.status = (NoticeStatus.SENDING if escalation else NoticeStatus.SKIPPED).value
        notice.attempts += 1
        notice.due_at = timezone.now() + dt.timedelta(seconds=LEASE_S)
        notice.save(update_fields=["status", "attempts", "due_at"])
        return notice, escalation, was_lost


def _find_open(tenant: TenantRef, escalation_id: UUID) -> EscalationView | None:
    try:
        found = get_escalation(tenant=tenant, escalation_id=escalation_id)
    except NotFoundError:
        return None
    return found if found.status == EscalationStatus.OPEN else None


def _deliver(tenant: TenantRef, notice: SlackNotice, escalation: EscalationView, *, was_lost: bool) -> bool:
    key = f"escalation:{notice.escalation_id}"
    try:
        found = find_in_slack(tenant, key, since=notice.created_at.timestamp()) if was_lost else None
    except StepFailed as error:  # it may be missing, but never comes twice
        _settle(tenant, notice, NoticeStatus.FAILED, str(error))
        return False
    try:
        if found is None:
            send_to_slack(tenant, _text(escalation), key)
    except OutcomeUnknown as error:
        _settle(tenant, notice, NoticeStatus.SENDING, str(error))
        return False
    except StepFailed as error:
        status = NoticeStatus.WAITING if error.is_retryable else NoticeStatus.FAILED
        _settle(tenant, notice, status, str(error))
        return False
    _settle(tenant, notice, NoticeStatus.SENT, "")
    return True


def _settle(tenant: TenantRef, notice: SlackNotice, status: NoticeStatus, cause: str) -> None:
    if status in (NoticeStatus.WAITING, NoticeStatus.SENDING) and notice.attempts >= MAX_ATTEMPTS:
        status = NoticeStatus.FAILED
    if cause:
        log.warning("slack_notice_did_not_arrive", escalation_id=str(notice.escalation_id), cause=cause)
    delay = dt.timedelta(seconds=FIRST_DELAY_S * 2 ** (notice.attempts - 1))
    notice.status, notice.cause, notice.due_at = status.value, cause[:500], timezone.now() + delay
    with in_tenant(tenant):
        notice.save(update_fields=["status", "cause", "due_at"])


def _text(escalation: EscalationView) -> str:
    """Write the notice without a word of the customer's: those are read in the inbox."""
    home = settings.PUBLIC_URL.rstrip("/")
    return (
        f"A customer waits for a person.\nWhy: {escalation.reason}\nQueue: {escalation.queue}\n"
        f"Answer: {home}/app/inbox/{escalation.id}/"
    )
