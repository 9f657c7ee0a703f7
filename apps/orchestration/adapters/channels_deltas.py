"""Deltas through the Channels layer."""

from __future__ import annotations

from uuid import UUID

from django.conf import settings
from django.utils.module_loading import import_string

from apps.conversations.contracts import ChannelKind, conversation_group


class ChannelsDeltas:
    """Sends each piece to the conversation's group; without a layer the stored reply still comes."""

    def __init__(self) -> None:
        self._sender = import_string(settings.GROUP_SENDER)

    def is_heard(self, *, conversation_id: UUID, channel: str) -> bool:
        """Tell whether a socket may be open: only the widget's visitors see replies form."""
        return channel == ChannelKind.WIDGET

    def emit(self, *, tenant_id: UUID, conversation_id: UUID, reply_id: str, offset: int, text: str) -> None:
        """Send one piece, without waiting and without ever raising."""
        self._sender.send(
            conversation_group(tenant_id, conversation_id),
            {
                "type": "delta",
                "reply_id": reply_id,
                "offset": offset,
                "text": text,
                "tenant_id": str(tenant_id),
                "conversation_id": str(conversation_id),
            },
        )
