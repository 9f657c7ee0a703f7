"""Write conversations, their messages and the human inbox."""

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
    open_escalation,
    resolve_escalation,
)
from apps.conversations.services.messages import post_reply, receive_message, send_agent_message

__all__ = [
    "cancel_escalation",
    "claim_escalation",
    "close_conversation",
    "correct_intent",
    "open_conversation",
    "open_escalation",
    "post_reply",
    "rate_conversation",
    "receive_message",
    "release_conversation",
    "resolve_escalation",
    "save_channel",
    "send_agent_message",
    "start_conversation",
    "take_over_conversation",
]
