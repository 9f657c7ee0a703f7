"""Write conversations, their messages and the human inbox."""

from apps.conversations.services.canned import delete_canned_reply, save_canned_reply
from apps.conversations.services.channels import save_channel
from apps.conversations.services.conversations import (
    close_conversation,
    open_conversation,
    rate_conversation,
    release_conversation,
    start_conversation,
    take_over_conversation,
)
from apps.conversations.services.corrections import correct_intent
from apps.conversations.services.escalations import (
    cancel_escalation,
    claim_escalation,
    hand_back_escalation,
    open_escalation,
    reassign_escalation,
    reopen_escalation,
    resolve_escalation,
)
from apps.conversations.services.introductions import introduce_visitor
from apps.conversations.services.mails import mail_escalations
from apps.conversations.services.messages import post_reply, receive_message, send_agent_message
from apps.conversations.services.notes import add_note
from apps.conversations.services.suggestions import suggest_answer
from apps.conversations.services.tickets import issue_inbox_ticket, read_inbox_ticket

__all__ = [
    "add_note",
    "cancel_escalation",
    "claim_escalation",
    "close_conversation",
    "correct_intent",
    "delete_canned_reply",
    "hand_back_escalation",
    "introduce_visitor",
    "issue_inbox_ticket",
    "mail_escalations",
    "open_conversation",
    "open_escalation",
    "post_reply",
    "rate_conversation",
    "read_inbox_ticket",
    "reassign_escalation",
    "receive_message",
    "release_conversation",
    "reopen_escalation",
    "resolve_escalation",
    "save_canned_reply",
    "save_channel",
    "send_agent_message",
    "start_conversation",
    "suggest_answer",
    "take_over_conversation",
]
