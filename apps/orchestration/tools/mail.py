"""Mail tool: to the customer or to the tenant's own people, never to whomever a text names."""

from __future__ import annotations

import time
from email.utils import parseaddr

from django.conf import settings
from django.core.cache import cache
from django.core.mail import EmailMessage

from apps.crm import selectors as crm
from apps.orchestration.adapters.mail_server import MailBroken, MailRefused, send_mail
from apps.orchestration.steps.context import OutcomeUnknown, Output, StepContext, StepFailed
from apps.orchestration.tools.setup import read_setup
from apps.resilience.errors import NotFoundError
from apps.resilience.outcomes import ResilienceError
from apps.tenants.contracts import TenantRef
from apps.tenants.selectors import list_member_emails

TOOL = "email_send"
MAX_PER_HOUR, HOUR_S = 100, 3600


def email_send(context: StepContext) -> Output:
    """Send one mail; its Message-ID is the effect's key, so that a repeat could be told."""
    setup = read_setup(context.tenant, TOOL)
    message = _write(
        context, _recipient(context, setup.get("allowed_recipients", [])), setup.get("reply_to", "")
    )
    _take_turn(context.tenant, int(setup.get("max_per_hour", MAX_PER_HOUR)))
    try:
        send_mail(message, owner=str(context.tenant.id))
    except MailRefused as error:
        raise StepFailed(str(error), is_retryable=error.is_retryable) from None
    except ResilienceError as error:
        raise StepFailed(str(error)) from None
    except MailBroken as error:
        raise OutcomeUnknown(str(error)) from None
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
