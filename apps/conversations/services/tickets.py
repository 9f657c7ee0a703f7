"""Tickets that let a member's page open the socket of the inbox, in another process."""

from uuid import UUID

from django.core import signing

from apps.conversations.contracts import InboxTicket
from apps.resilience.errors import NotAllowed

SALT = "conversations.inbox"
LIFETIME_S = 60


def issue_inbox_ticket(ticket: InboxTicket) -> str:
    """Sign a ticket; it admits for LIFETIME_S."""
    value = [ticket.tenant_id.hex, ticket.agent, ticket.name, ticket.may_write, ticket.held]
    return signing.dumps(value, salt=SALT)


def read_inbox_ticket(signed: str) -> InboxTicket:
    """Return the ticket that this product signed a moment ago; raises NotAllowed."""
    try:
        tenant_id, agent, name, may_write, held = signing.loads(signed, salt=SALT, max_age=LIFETIME_S)
    except (signing.BadSignature, ValueError) as error:
        raise NotAllowed("Fetch a new ticket from the inbox's page; each serves for a minute.") from error
    return InboxTicket(tenant_id=UUID(tenant_id), agent=agent, name=name, may_write=may_write, held=held)
