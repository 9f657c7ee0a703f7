"""Read what a customer talked about, and what people noted about them."""

from uuid import UUID

from django.db.models import BigIntegerField, Sum
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast

from apps.conversations.contracts import CustomerConversation, CustomerConversationPage, NoteView
from apps.conversations.models import Conversation, Message, Note
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.paging import paginate

SHOWN = 20
COST = Cast(KeyTextTransform("cost_microusd", "receipt"), BigIntegerField())


def list_of_customer(*, tenant: TenantRef, customer_id: UUID, cursor: str = "") -> CustomerConversationPage:
    """Return one page of a customer's conversations, newest first, each with what its answers cost."""
    with in_tenant(tenant):
        page = paginate(Conversation.objects.filter(customer_id=customer_id), cursor, size=SHOWN)
        answers = Message.objects.filter(conversation__in=[row.id for row in page.items])
        costs = dict(
            answers.filter(receipt__isnull=False)
            .order_by()
            .values_list("conversation_id")
            .annotate(cost_microusd=Sum(COST))
        )
    items = [CustomerConversation(row.view(), costs.get(row.id) or 0) for row in page.items]
    return CustomerConversationPage(items=items, next_cursor=page.next_cursor, is_first=page.is_first)


def list_notes_about(*, tenant: TenantRef, customer_id: UUID) -> list[NoteView]:
    """Return the last notes of a customer's conversations, newest first; for people only."""
    with in_tenant(tenant):
        notes = Note.objects.filter(conversation__customer_id=customer_id).order_by("-id")[:SHOWN]
        return [note.view() for note in notes]
