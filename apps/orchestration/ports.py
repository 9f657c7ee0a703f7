"""What the engine needs from outside."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID


class DeltaSink(Protocol):
    """Takes pieces of replies while they form; they may be lost, the stored reply counts."""

    def is_heard(self, *, conversation_id: UUID, channel: str) -> bool:
        """Tell whether anybody may be listening; where nobody is, replies are not asked for in pieces."""
        ...

    def emit(self, *, tenant_id: UUID, conversation_id: UUID, reply_id: str, offset: int, text: str) -> None:
        """Pass on the piece that begins `offset` characters into the reply."""
        ...


class RunHint(Protocol):
    """Tells some worker that a run is due; when it is lost, a sweep finds the run."""

    def send(self, *, tenant_id: UUID, run_id: UUID) -> None:
        """Hint, without ever raising."""
        ...
