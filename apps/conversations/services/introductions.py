"""Visitors who say who they are, without anybody vouching for it."""

from uuid import UUID

from apps.conversations.contracts import ConversationView
from apps.conversations.services.possession import lock_conversation
from apps.crm.services import keep_stated_customer
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef


def introduce_visitor(
    *, tenant: TenantRef, conversation_id: UUID, name: str = "", email: str = ""
) -> ConversationView:
    """Keep a visitor's own word as a customer of this conversation alone; again changes that customer.

    No name and no address leads to a customer who is known already: nobody has checked them.
    Raises InvalidInput, NotFoundError, and ConflictError where the customer is known by more than their word.
    """
    with in_tenant(tenant):
        conversation = lock_conversation(conversation_id)
        customer = keep_stated_customer(
            tenant=tenant, customer_id=conversation.customer_id, name=name, email=email
        )
        if conversation.customer_id is None:
            conversation.customer_id = customer.id
            conversation.save(update_fields=["customer"])
        return conversation.view()
