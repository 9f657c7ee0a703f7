"""Write canned replies."""

import re
from uuid import UUID

from django.db import IntegrityError, transaction

from apps.conversations import validation
from apps.conversations.contracts import CANNED_VARIABLES, VARIABLE, CannedReplyView
from apps.conversations.models import CannedReply
from apps.resilience.errors import ConflictError, InvalidInput, NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.services import record_audit

SHORTCUT = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
MAX_CANNED = 500


def save_canned_reply(
    *, tenant: TenantRef, shortcut: str, text: str, reply_id: UUID | None = None
) -> CannedReplyView:
    """Add a canned reply, or change the one of an id.

    Raises InvalidInput, also for a shortcut that is taken, NotFoundError, and ConflictError at MAX_CANNED.
    """
    short = validation.text("shortcut", shortcut, max_chars=40, required=True).lower()
    if not SHORTCUT.fullmatch(short):
        raise InvalidInput({"shortcut": ["Use small letters, digits and hyphens."]})
    said = validation.message_text(text)
    _check_variables(said)
    with in_tenant(tenant):
        reply = CannedReply.objects.filter(id=reply_id).first() if reply_id else CannedReply()
        if reply is None:
            raise NotFoundError("There is no such canned reply.")
        if reply_id is None and CannedReply.objects.count() >= MAX_CANNED:
            raise ConflictError(f"There are {MAX_CANNED} canned replies already; delete one first.")
        before = {"shortcut": reply.shortcut} if reply_id else None
        reply.shortcut, reply.text = short, said
        try:
            with transaction.atomic():
                reply.save()
        except IntegrityError as error:
            raise InvalidInput({"shortcut": [f"/{short} exists already; choose another one."]}) from error
        data = {"before": before, "after": {"shortcut": short}}
        record_audit(tenant=tenant, action="canned_reply.saved", target=str(reply.id), data=data)
        return reply.view()


def _check_variables(text: str) -> None:
    unknown = [name for name in VARIABLE.findall(text) if name not in CANNED_VARIABLES]
    if unknown:
        known = ", ".join(f"{{{name}}}" for name in CANNED_VARIABLES)
        raise InvalidInput({"text": [f"{{{unknown[0]}}} is not known; use {known}."]})


def delete_canned_reply(*, tenant: TenantRef, reply_id: UUID) -> CannedReplyView:
    """Remove a canned reply and return what it was; raises NotFoundError."""
    with in_tenant(tenant):
        reply = CannedReply.objects.select_for_update().filter(id=reply_id).first()
        if reply is None:
            raise NotFoundError("There is no such canned reply.")
        view = reply.view()
        reply.delete()
        data = {"before": {"shortcut": view.shortcut}}
        record_audit(tenant=tenant, action="canned_reply.deleted", target=str(reply_id), data=data)
        return view
