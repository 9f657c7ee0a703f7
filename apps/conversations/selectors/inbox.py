"""Read the queue of the human inbox and the canned replies."""

from collections import Counter
from uuid import UUID

from apps.conversations.contracts import (
    CannedReplyView,
    EscalationStatus,
    QueueCounts,
    QueueItem,
    QueuePage,
)
from apps.conversations.models import WAITING, CannedReply, Escalation
from apps.resilience.errors import NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.paging import paginate

LOOKED_AT = 1_000


def list_queue(*, tenant: TenantRef, show: str, agent: str, queue: str = "", cursor: str = "") -> QueuePage:
    """Return escalations that wait or are being served, the longest waiting first.

    `show`: mine, unclaimed or all.
    """
    with in_tenant(tenant):
        rows = Escalation.objects.filter(WAITING).select_related("conversation__customer")
        if show == "mine":
            rows = rows.filter(claimed_by=agent)
        elif show == "unclaimed":
            rows = rows.filter(status=EscalationStatus.OPEN.value)
        page = paginate(rows.filter(queue=queue) if queue else rows, cursor, by="id")
    items = [_item(row) for row in page.items]
    return QueuePage(items=items, next_cursor=page.next_cursor, is_first=page.is_first)


def count_queue(*, tenant: TenantRef, agent: str) -> QueueCounts:
    """Count what waits, among the oldest LOOKED_AT."""
    with in_tenant(tenant):
        rows = list(
            Escalation.objects.filter(WAITING)
            .order_by("id")
            .values_list("id", "queue", "claimed_by", "conversation__is_answered")[:LOOKED_AT]
        )
    return QueueCounts(
        mine=sum(holder == agent for _, _, holder, _ in rows),
        unclaimed=sum(not holder for _, _, holder, _ in rows),
        all=len(rows),
        to_answer=sum(holder == agent and not is_answered for _, _, holder, is_answered in rows),
        newest=str(rows[-1][0]) if rows else "",
        queues=dict(sorted(Counter(queue for _, queue, _, _ in rows).items())),
    )


def get_queue_item(*, tenant: TenantRef, escalation_id: UUID) -> QueueItem:
    """Return an escalation, waiting or ended, with its conversation; raises NotFoundError."""
    with in_tenant(tenant):
        row = Escalation.objects.select_related("conversation__customer").filter(id=escalation_id).first()
    if row is None:
        raise NotFoundError("There is no such escalation.")
    return _item(row)


def list_canned_replies(*, tenant: TenantRef) -> list[CannedReplyView]:
    """Return the canned replies by shortcut."""
    with in_tenant(tenant):
        return [reply.view() for reply in CannedReply.objects.order_by("shortcut")]


def get_canned_reply(*, tenant: TenantRef, reply_id: UUID) -> CannedReplyView:
    """Return a canned reply; raises NotFoundError."""
    with in_tenant(tenant):
        reply = CannedReply.objects.filter(id=reply_id).first()
    if reply is None:
        raise NotFoundError("There is no such canned reply.")
    return reply.view()


def _item(row: Escalation) -> QueueItem:
    conversation = row.conversation
    return QueueItem(
        escalation=row.view(),
        conversation=conversation.view(),
        customer_name=str(conversation.customer) if conversation.customer else "Visitor",
    )
