"""Count silence: an answer after which the customer has been silent long enough has resolved."""

import datetime as dt
from uuid import UUID

from apps.analytics.models import ConversationFact
from apps.analytics.projection import Generation, project

AT_ONCE = 200


def settle(tenant_id: UUID, generation: Generation, *, as_of: dt.datetime) -> int:
    """Count every silence of a generation that is over, in the caller's transaction; return how many."""
    settled = 0
    while number := settle_some(tenant_id, generation, as_of=as_of):
        settled += number
    return settled


def settle_some(tenant_id: UUID, generation: Generation, *, as_of: dt.datetime) -> int:
    """Count the oldest silences that are over; 0 when none is left."""
    facts = ConversationFact.objects.filter(tenant_id=tenant_id, generation=generation.number)
    due = facts.filter(settles_at__lte=as_of).order_by("settles_at")
    ids = list(due.values_list("conversation_id", flat=True)[:AT_ONCE])
    for conversation_id in ids:
        project(tenant_id, conversation_id, generation=generation, as_of=as_of)
    return len(ids)
