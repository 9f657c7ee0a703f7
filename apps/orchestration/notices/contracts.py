"""How a notice stands; no framework."""

from enum import StrEnum


class NoticeStatus(StrEnum):
    """In SENDING its outcome is not known yet: it is looked for in the channel before it is sent again."""

    WAITING = "waiting"
    SENDING = "sending"
    SENT = "sent"
    SKIPPED = "skipped"
    FAILED = "failed"
