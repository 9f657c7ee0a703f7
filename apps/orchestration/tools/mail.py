"""Mail tool: to the customer or to the tenant's own people, never to whomever a text names."""

from __future__ import annotations

import smtplib
import time
from email.utils import parseaddr

from django.conf import settings
from django.core.cache import cache
from django.core.mail import EmailMessage, get_connection

from apps.crm import selectors as crm
from apps.orchestration.steps.context import OutcomeUnknown, Output, StepContext, StepFailed
from apps.orchestration.tools.setup import read_setup
from apps.resilience.breaker import BreakerPolicy
from apps.resilience.errors import NotFoundError
from apps.resilience.outcomes import ResilienceError
from apps.resilience.policies import Resilience
from apps.tenants.contracts import TenantRef
from apps.tenants.selectors import list_member_emails

TOOL = "email_send"
MAX_PER_HOUR, HOUR_S = 100, 3600
# What a server refuses in so many words has not been sent; whatever else breaks may have.
REFUSALS = (smtplib.SMTPSenderRefused, smtplib.SMTPRecipientsRefused, smtplib.SMTPDataError)
GUARD = Resilience(
    "mail_server",
    breaker=BreakerPolicy(failure_threshold=5, recovery_timeout_s=30),
    is_failure=lambda error: not isinstance(error, REFUSALS),
)


def email_send(context: StepContext) -> Output:
    """Send one mail; its Message-ID is the effect's key, so that a repeat could be told."""
    setup = read_setup(context.tenant, TOOL)
    message = _write(
        context, _recipient(context, setup.get("allowed_recipients", [])), setup.get("reply_to", "")
    )
    _take_turn(context.tenant, int(setup.get("max_per_hour", MAX_PER_HOUR)))
    try:
        GUARD.call(
            lambda _timeout_s: _send(message), key=settings.EMAIL_HOST or "", owner=str(context.tenant.id)
        )
    except ResilienceError as error:
        raise StepFailed(str(error)) from None
    except REFUSALS as error:
        code = getattr(error, "smtp_code", 550)
        raise StepFailed(
            f"the mail server refused the mail ({code})", is_retryable=400 <= code < 500
        ) from None
    except OSError as error:  # smtplib's errors are among these
        raise OutcomeUnknown(f"the connection to the mail server broke ({type(error).__name__})") from None
    return {"is_sent": True, "message_id": message.extra_headers["Message-ID"]}


def _write(context: StepContext, recipient: str, reply_to: str) -> EmailMessage:
    subject = str(context.arguments["subject"])
    if any(sign in subject + recipient + reply_to for sign in "\r\n\x00"):
        raise StepFailed("subject and addresses are one line each", is_retryable=False)
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2] or "localhost"
    return EmailMessage(
        subject,
        str(context.arguments["text"]),
        to=[recipient],
        reply_to=[reply_to] if reply_to else None,
        headers={"Message-ID": f"<{context.effect_key}@{domain}>", "Auto-Submitted": "auto-generated"},
    )


def _recipient(context: StepContext, allowed: list[str]) -> str:
    """Find out whom to write to; raises StepFailed for anybody who is neither customer nor the tenant's."""
    customers, wanted = _customers_address(context), str(context.arguments.get("to") or "").strip().lower()
    if not wanted and not customers:
        raise StepFailed("the conversation's customer has no e-mail address", is_retryable=False)
    if wanted in ("", customers):
        return str(customers)
    known = {entry.strip().lower() for entry in allowed}
    if {wanted, f"@{wanted.rpartition('@')[2]}"} & known or wanted in list_member_emails(
        tenant=context.tenant
    ):
        return wanted
    raise StepFailed(
        f"{wanted[:100]} is neither the customer's address, nor the team's, nor among the tool's "
        "`allowed_recipients`",
        is_retryable=False,
    )


def _customers_address(context: StepContext) -> str | None:
    if context.customer_id is None:
        return None
    try:
        return crm.get_customer(tenant=context.tenant, customer_id=context.customer_id).email
    except NotFoundError:
        return None


def _take_turn(tenant: TenantRef, max_per_hour: int) -> None:
    key = f"mails:{tenant.id}:{int(time.time() // HOUR_S)}"
    cache.add(key, 0, HOUR_S)
    if cache.incr(key) > max_per_hour:
        raise StepFailed(f"{max_per_hour} mails have left in this hour: raise `max_per_hour`, or wait")


def _send(message: EmailMessage) -> None:
    connection = get_connection()
    try:
        connection.open()
    except OSError as error:
        raise NotSent(type(error).__name__) from None
    try:
        connection.send_messages([message])
    finally:
        connection.close()


class NotSent(ResilienceError):
    """The mail server could not be reached: nothing was sent."""

    def __init__(self, cause: str) -> None:
        super().__init__(f"the mail server cannot be reached ({cause})")
