"""Forget a customer's conversations, with all that hangs on them and what was learnt from their words."""

from apps.conversations.models import Conversation, Message
from apps.routing.services import forget_words
from apps.tenants.contracts import Erased, Subject, TenantRef

RULES = {
    "conversations.Conversation": "erased",
    "conversations.Message": "erased",
    "conversations.Escalation": "erased",
    "conversations.EscalationCall": "erased",
    "conversations.EscalationMail": "erased",
    "conversations.Note": "erased",
    "conversations.CannedReply": "kept: texts of the company's own",
    "conversations.Channel": "kept: settings of the company",
}


def erase_traces(*, tenant: TenantRef, subject: Subject) -> Erased:
    """Delete the customer's conversations in the caller's transaction; tell which runs answered in them."""
    found = list(
        Conversation.objects.select_for_update()
        .filter(customer_id=subject.customer_id)
        .values_list("id", flat=True)
    )
    messages = Message.objects.filter(conversation_id__in=found)
    runs = frozenset(run_id for run_id in messages.values_list("run_id", flat=True) if run_id)
    learnt = forget_words(
        tenant=tenant, texts=messages.filter(author="customer").values_list("text", flat=True)
    )
    _, rows = Conversation.objects.filter(id__in=found).delete()
    return Erased({**rows, **learnt}, frozenset(found), runs)
