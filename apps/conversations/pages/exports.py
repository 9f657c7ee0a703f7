"""Conversations and transcripts as CSV, written while they are read."""

from collections.abc import Iterator
from uuid import UUID

from django.http import HttpResponse, StreamingHttpResponse

from apps.conversations import selectors
from apps.conversations.contracts import ConversationQuery, MessageView
from apps.conversations.pages.conversations import customer_of, read_search
from apps.conversations.pages.shown import show_entries
from apps.resilience.errors import InvalidInput
from apps.tenants.contracts import TenantRef
from apps.tenants.dashboard import MemberRequest, member_page
from apps.tenants.spreadsheets import send_csv

CONVERSATION_COLUMNS = (
    "id", "began", "last_message", "customer", "channel", "status", "intent", "answered", "messages",
    "rating", "rating_comment", "subject",
)  # fmt: skip
MESSAGE_COLUMNS = (
    "seq", "at", "author", "name", "text", "intent", "confidence", "reasons", "model", "sources",
    "prompt_tokens", "completion_tokens", "cost_microusd", "latency_ms",
)  # fmt: skip
READ_AT_ONCE = 200


@member_page(read="read:conversations")
def send_conversations(request: MemberRequest) -> StreamingHttpResponse:
    """Send every conversation that the search finds."""
    form = read_search(request)
    if not form.is_valid():
        raise InvalidInput({name: [str(text) for text in texts] for name, texts in form.errors.items()})
    return send_csv("conversations", CONVERSATION_COLUMNS, _conversations(request.tenant, form.query()))


@member_page(read="read:conversations")
def send_transcript(request: MemberRequest, conversation_id: UUID) -> HttpResponse | StreamingHttpResponse:
    """Send what was said with the receipts; notes stay between colleagues."""
    conversation = selectors.get_conversation(tenant=request.tenant, conversation_id=conversation_id)
    name = customer_of(request.tenant, conversation.customer_id)["name"]
    rows = _messages(request.tenant, conversation_id, name)
    return send_csv(f"conversation-{conversation_id}", MESSAGE_COLUMNS, rows)


def _conversations(tenant: TenantRef, query: ConversationQuery) -> Iterator[list[object]]:
    cursor = ""
    while True:
        page = selectors.list_conversations(tenant=tenant, query=query, cursor=cursor)
        for row in page.items:
            c = row.conversation
            last = c.last_message_at.isoformat() if c.last_message_at else ""
            yield [
                c.id, c.created_at.isoformat(), last, row.customer_name, c.channel.value, c.status.value,
                c.intent, "yes" if c.is_answered else "no", c.last_seq, c.rating, c.rating_comment, c.subject,
            ]  # fmt: skip
        cursor = page.next_cursor
        if not cursor:
            return


def _messages(tenant: TenantRef, conversation_id: UUID, customer_name: str) -> Iterator[list[object]]:
    after = 0
    while page := selectors.list_messages(
        tenant=tenant, conversation_id=conversation_id, after_seq=after, limit=READ_AT_ONCE
    ):
        names = [entry.name for entry in show_entries(page, customer_name=customer_name)]
        for message, name in zip(page, names, strict=True):
            said = [message.seq, message.created_at.isoformat(), message.author.value, name, message.text]
            yield [*said, *_receipt(message)]
        after = page[-1].seq


def _receipt(message: MessageView) -> list[object]:
    receipt = message.receipt or {}
    reasons = "; ".join(str(reason) for reason in receipt.get("reasons") or [])
    sources = "; ".join(str(source.get("title", "")) for source in message.sources)
    names = ("prompt_tokens", "completion_tokens", "cost_microusd", "latency_ms")
    measured = [receipt.get(name) for name in names]
    model = receipt.get("model") or receipt.get("provider")
    return [receipt.get("intent"), receipt.get("confidence"), reasons, model, sources, *measured]
