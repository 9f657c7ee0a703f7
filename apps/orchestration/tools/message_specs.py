"""What the tools that write to people take and promise, and how a tenant sets them up."""

from apps.orchestration.definitions.contracts import Effect
from apps.orchestration.definitions.language import types as t
from apps.orchestration.tools.contract import ToolSpec, arguments

_LINE = {"type": "string", "minLength": 1, "maxLength": 200}
_ADDRESSES = {"type": "array", "items": {"type": "string", "maxLength": 254}, "maxItems": 200}

MESSAGE_TOOLS = [
    ToolSpec(
        name="email_send",
        summary=(
            "Mail the conversation's customer, or an address of the team or of `allowed_recipients`. A mail "
            "whose outcome was lost is not sent again: a person decides."
        ),
        effect=Effect.NEITHER,
        arguments=arguments(
            "subject",
            "text",
            to={"type": "string", "maxLength": 254},
            subject=_LINE,
            text={"type": "string", "minLength": 1, "maxLength": 20_000},
        ),
        outputs={"is_sent": t.BOOL, "message_id": t.STRING},
        settings=arguments(
            allowed_recipients={
                **_ADDRESSES,
                "description": "Further addresses that may be written to; @example.com: all of a domain.",
            },
            reply_to={"type": "string", "maxLength": 254, "description": "Where answers go."},
            max_per_hour={
                "type": "integer",
                "minimum": 1,
                "maximum": 1000,
                "description": "How many mails may leave in an hour; 100 without it.",
            },
        ),
    ),
    ToolSpec(
        name="slack_send",
        summary=(
            "Write into a Slack channel. With a bot's token a message whose outcome was lost is looked for "
            "in the channel; with an incoming webhook a person decides."
        ),
        effect=Effect.LOOKUP,
        arguments=arguments(
            "text", text={"type": "string", "minLength": 1, "maxLength": 4000}, channel=_LINE
        ),
        outputs={"is_sent": t.BOOL, "channel": t.STRING, "ts": t.STRING},
        settings=arguments(
            token={
                "type": "string",
                "maxLength": 200,
                "description": "A bot's token, with the scopes chat:write and channels:history.",
            },
            channel={
                **_LINE,
                "description": "The id of the channel for messages that name none, like C0123456789.",
            },
            incoming_webhook_secret={
                "type": "string",
                "maxLength": 500,
                "description": "Instead of a token: the address of an incoming webhook.",
            },
        ),
    ),
]
