"""Find conversations: by what was said in them, and by what is known of them."""

from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.db import connection
from django.db.models import BooleanField, F, Func, Q, QuerySet, UUIDField, Value

from apps.conversations.contracts import ConversationPage, ConversationQuery, ConversationRow
from apps.conversations.models import Conversation, Message
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.paging import PAGE_SIZE, Page, cursor_after, paginate

# Up to so many messages the index finds what was asked. What is more frequent is quicker met by looking
# through conversations, newest first, of which one page looks through so many; a few at once, since the
# first ones mostly fill it.
MOST_FOUND = 5_000
LOOKED_THROUGH, AT_ONCE = 500, 100
EXCERPT_CHARS = 160


class Matches(Func):
    """Tell whether a message's words hold what was asked, as the index `message_words` does."""

    template = "words_of(%(expressions)s)"
    arg_joiner = ") @@ asked_for("
    output_field = BooleanField()


class IsAnyOf(Func):
    """Compare with a whole array as one parameter."""

    template = "%(expressions)s)"
    arg_joiner = " = ANY("
    output_field = BooleanField()


def list_conversations(*, tenant: TenantRef, query: ConversationQuery, cursor: str = "") -> ConversationPage:
    """Return one page of conversations that hold a message, the newest begun first.

    A page may hold few or none and still have a next one, where a frequent word is asked for together
    with other conditions.
    """
    with in_tenant(tenant):
        rows = _choose(query)
        if not query.text:
            return _shown(paginate(rows, cursor), {})
        found, messages = _find(query.text)
        if messages < MOST_FOUND:
            wanted = Value(found, output_field=ArrayField(UUIDField()))
            page = paginate(rows.filter(IsAnyOf(F("id"), wanted)), cursor)
        else:
            page = _look_through(rows, query.text, cursor)
        return _shown(page, _excerpts(page.items, query.text))


def list_known_intents(*, tenant: TenantRef, limit: int = 100) -> list[str]:
    """Return the intents that conversations have, by name; a loose index scan, quick at any size."""
    with in_tenant(tenant), connection.cursor() as cursor:
        cursor.execute(_INTENTS, [limit])
        return [name for (name,) in cursor.fetchall() if name]


_TABLE = Conversation._meta.db_table
_INTENTS = f"""
WITH RECURSIVE known AS (
  (SELECT intent FROM {_TABLE} ORDER BY intent LIMIT 1)
  UNION ALL
  SELECT (SELECT c.intent FROM {_TABLE} c WHERE c.intent > known.intent ORDER BY c.intent LIMIT 1)
  FROM known WHERE known.intent IS NOT NULL
)
SELECT intent FROM known WHERE intent IS NOT NULL LIMIT %s
"""  # noqa: S608 - the table's name is our own


def _choose(query: ConversationQuery) -> QuerySet[Conversation]:
    chosen = {
        "status": query.status,
        "channel": query.channel,
        "intent": query.intent,
        "created_at__gte": query.since,
        "created_at__lt": query.until,
        "is_answered": False if query.unanswered else None,
    }
    rows = Conversation.objects.filter(
        last_seq__gt=0, **{k: v for k, v in chosen.items() if v not in (None, "")}
    )
    return rows.filter(_is_of(query.customer)).select_related("customer")


def _is_of(customer: str) -> Q:
    """Read what was typed as an id, an e-mail address or a part of a name."""
    if not customer:
        return Q()
    try:
        return Q(customer_id=UUID(customer))
    except ValueError:
        pass
    if "@" in customer:
        return Q(customer__email=customer.lower())
    return Q(customer__name__icontains=customer) | Q(customer__external_id=customer)


def _find(text: str) -> tuple[list[UUID], int]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT conversations, messages FROM find_messages(%s, %s)", [text, MOST_FOUND])
        found, messages = cursor.fetchone()
    return found or [], messages


def _look_through(rows: QuerySet[Conversation], text: str, cursor: str) -> Page[Conversation]:
    items: list[Conversation] = []
    is_first = True
    for part in range(LOOKED_THROUGH // AT_ONCE):
        looked = paginate(rows, cursor, size=AT_ONCE)
        is_first = looked.is_first if part == 0 else is_first
        items += _holding(looked.items, text)
        if len(items) > PAGE_SIZE:
            return Page(items[:PAGE_SIZE], cursor_after(items[PAGE_SIZE - 1]), is_first)
        cursor = looked.next_cursor
        if not cursor:
            break
    return Page(items, cursor, is_first)


def _holding(rows: list[Conversation], text: str) -> list[Conversation]:
    messages = Message.objects.filter(conversation__in=[row.id for row in rows])
    matching = messages.filter(Matches(F("text"), Value(text))).values_list("conversation_id", flat=True)
    ids = set(matching.distinct())
    return [row for row in rows if row.id in ids]


def _excerpts(rows: list[Conversation], text: str) -> dict[UUID, str]:
    """Return from each conversation the start of its last message that matches."""
    messages = Message.objects.filter(
        Matches(F("text"), Value(text)), conversation__in=[row.id for row in rows]
    )
    last = messages.order_by("conversation_id", "-seq").distinct("conversation_id")
    return {
        found: said if len(said) <= EXCERPT_CHARS else f"{said[: EXCERPT_CHARS - 1]}…"
        for found, said in last.values_list("conversation_id", "text")
    }


def _shown(page: Page[Conversation], excerpts: dict[UUID, str]) -> ConversationPage:
    rows = [
        ConversationRow(
            conversation=row.view(),
            customer_name=str(row.customer) if row.customer else "",
            excerpt=excerpts.get(row.id, ""),
        )
        for row in page.items
    ]
    return ConversationPage(items=rows, next_cursor=page.next_cursor, is_first=page.is_first)
