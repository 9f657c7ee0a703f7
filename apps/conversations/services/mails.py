"""Mail the people who answer customers when one waits: once for each escalation.

The intent is a row that is written with the escalation. A mail that surely did not leave is tried again;
one whose outcome was lost with its process or connection is not: it may be missing, but never comes twice.
"""

import datetime as dt

import structlog
from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.db.models.functions import Now
from django.utils import timezone

from apps.conversations.contracts import EscalationStatus, MailStatus
from apps.conversations.models import Escalation, EscalationMail
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.selectors import get_tenant_name, list_agent_emails

MAX_ATTEMPTS = 8
FIRST_DELAY_S = 30
AT_ONCE = 50
log = structlog.get_logger(__name__)


def ask_for_mail(escalation: Escalation) -> None:
    """Note that an escalation is to be mailed, in its own transaction; again changes nothing."""
    EscalationMail.objects.bulk_create([EscalationMail(escalation=escalation)], ignore_conflicts=True)


def mail_escalations(*, tenant: TenantRef) -> int:
    """Mail what is due to those who answer and want it; returns how many left."""
    sent = 0
    for _ in range(AT_ONCE):
        mail, message = _claim(tenant)
        if mail is None:
            break
        if message is not None:
            sent += _send(tenant, mail, message)
    return sent


def _claim(tenant: TenantRef) -> tuple[EscalationMail | None, EmailMessage | None]:
    """Commit the intent to send one mail; no message where nobody needs it any more."""
    with in_tenant(tenant):
        due = EscalationMail.objects.filter(status=MailStatus.WAITING, due_at__lte=Now())
        mail = due.order_by("due_at").select_for_update(skip_locked=True).first()
        if mail is None:
            return None, None
        people = list_agent_emails(tenant=tenant)
        if mail.escalation.status != EscalationStatus.OPEN or not people:
            mail.status = MailStatus.SKIPPED.value
            mail.save(update_fields=["status"])
            return mail, None
        mail.status, mail.attempts = MailStatus.SENDING.value, mail.attempts + 1
        mail.save(update_fields=["status", "attempts"])
        return mail, _write(mail.escalation, get_tenant_name(tenant=tenant), people)


def _write(escalation: Escalation, company: str, people: list[str]) -> EmailMessage:
    """Write the mail without a word of the customer's: those are read in the inbox."""
    home = settings.PUBLIC_URL.rstrip("/")
    text = (
        f"A customer of {company} waits for a person.\n\n"
        f"Why: {escalation.reason}\nQueue: {escalation.queue}\n\n"
        f"Answer: {home}/app/inbox/{escalation.id}/\n\n"
        f"You get this because you answer customers of {company}; switch it off at {home}/app/profile/\n"
    )
    subject = f"{' '.join(company.split())}: a customer waits for a person"
    return EmailMessage(subject, text, to=people)


def _send(tenant: TenantRef, mail: EscalationMail, message: EmailMessage) -> bool:
    connection = get_connection()
    try:
        connection.open()
    except OSError as error:  # smtplib's errors are among these
        _settle(tenant, mail, MailStatus.WAITING, str(error))
        return False
    try:
        connection.send_messages([message])
    except OSError as error:
        _settle(tenant, mail, MailStatus.FAILED, str(error))
        return False
    finally:
        connection.close()
    _settle(tenant, mail, MailStatus.SENT, "")
    return True


def _settle(tenant: TenantRef, mail: EscalationMail, status: MailStatus, cause: str) -> None:
    if status is MailStatus.WAITING and mail.attempts >= MAX_ATTEMPTS:
        status = MailStatus.FAILED
    if cause:
        log.warning("escalation_mail_did_not_leave", escalation_id=str(mail.escalation_id), cause=cause)
    delay = dt.timedelta(seconds=FIRST_DELAY_S * 2 ** (mail.attempts - 1))
    mail.status, mail.cause, mail.due_at = status.value, cause[:500], timezone.now() + delay
    with in_tenant(tenant):
        mail.save(update_fields=["status", "cause", "due_at"])
