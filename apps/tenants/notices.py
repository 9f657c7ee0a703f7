"""Mail a company's owners what happened to it: written with the act, sent once.

A mail that surely did not leave is tried again; one whose outcome was lost with its process is not.
"""

import datetime as dt

import structlog
from django.core.mail import EmailMessage, get_connection
from django.db.models.functions import Now
from django.utils import timezone

from apps.tenants.context import in_platform, in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.models import Notice
from apps.tenants.selectors import list_owner_emails

MAX_ATTEMPTS = 8
FIRST_DELAY_S = 30
AT_ONCE = 200
KEPT = dt.timedelta(days=90)
log = structlog.get_logger(__name__)


def tell_owners(
    *, tenant: TenantRef, key: str, subject: str, text: str, recipients: list[str] | None = None
) -> None:
    """Note a mail to the owners in the caller's transaction; the same `key` again changes nothing."""
    with in_tenant(tenant):
        people = list_owner_emails(tenant=tenant) if recipients is None else recipients
        notice = Notice(tenant_id=tenant.id, key=key, subject=subject[:200], text=text, recipients=people)
        if people:
            Notice.objects.bulk_create([notice], ignore_conflicts=True)


def mail_notices() -> int:
    """Send what is due, of all companies; returns how many left."""
    sent = 0
    for _ in range(AT_ONCE):
        notice = _claim()
        if notice is None:
            break
        sent += _send(notice)
    return sent


def purge_notices() -> int:
    """Forget mails that are long sent or given up; returns how many."""
    with in_platform() as alias:
        return Notice.objects.using(alias).filter(created_at__lt=timezone.now() - KEPT).delete()[0]


def _claim() -> Notice | None:
    """Commit the intent to send one mail."""
    with in_platform() as alias:
        due = Notice.objects.using(alias).filter(status=Notice.Status.WAITING, due_at__lte=Now())
        notice = due.order_by("due_at").select_for_update(skip_locked=True).first()
        if notice is not None:
            notice.status, notice.attempts = Notice.Status.SENDING, notice.attempts + 1
            notice.save(using=alias, update_fields=["status", "attempts"])
        return notice


def _send(notice: Notice) -> bool:
    connection = get_connection()
    try:
        connection.open()
    except OSError as error:  # smtplib's errors are among these
        _settle(notice, Notice.Status.WAITING, str(error))
        return False
    try:
        connection.send_messages([EmailMessage(notice.subject, notice.text, to=notice.recipients)])
    except OSError as error:
        _settle(notice, Notice.Status.FAILED, str(error))
        return False
    finally:
        connection.close()
    _settle(notice, Notice.Status.SENT, "")
    return True


def _settle(notice: Notice, status: Notice.Status, cause: str) -> None:
    if status is Notice.Status.WAITING and notice.attempts >= MAX_ATTEMPTS:
        status = Notice.Status.FAILED
    if cause:
        log.warning("notice_did_not_leave", notice_id=str(notice.id), cause=cause)
    delay = dt.timedelta(seconds=FIRST_DELAY_S * 2 ** (notice.attempts - 1))
    notice.status, notice.cause, notice.due_at = status, cause[:500], timezone.now() + delay
    with in_platform() as alias:
        notice.save(using=alias, update_fields=["status", "cause", "due_at"])
