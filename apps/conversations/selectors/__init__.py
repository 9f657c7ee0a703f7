"""Read conversations, their messages and the human inbox."""

from apps.conversations.selectors.decisions import count_confidence, list_decisions
from apps.conversations.selectors.inbox import (
    count_queue,
    get_canned_reply,
    get_queue_item,
    list_canned_replies,
    list_queue,
)
from apps.conversations.selectors.of_customer import list_notes_about, list_of_customer
from apps.conversations.selectors.people import name_people
from apps.conversations.selectors.reading import (
    find_received,
    find_reply,
    find_seq_at,
    get_conversation,
    get_escalation,
    get_message,
    has_conversations,
    list_channels,
    list_messages,
    list_recent_turns,
)
from apps.conversations.selectors.search import list_conversations, list_known_intents
from apps.conversations.selectors.transcripts import list_newer_entries, read_transcript

__all__ = [
    "count_confidence",
    "count_queue",
    "find_received",
    "find_reply",
    "find_seq_at",
    "get_canned_reply",
    "get_conversation",
    "get_escalation",
    "get_message",
    "get_queue_item",
    "has_conversations",
    "list_canned_replies",
    "list_channels",
    "list_conversations",
    "list_decisions",
    "list_known_intents",
    "list_messages",
    "list_newer_entries",
    "list_notes_about",
    "list_of_customer",
    "list_queue",
    "list_recent_turns",
    "name_people",
    "read_transcript",
]
