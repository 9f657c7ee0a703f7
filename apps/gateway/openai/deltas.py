"""Text as it is being written, from the engine to the request of the same process that waits for it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from uuid import UUID


@dataclass(frozen=True)
class Delta:
    """A piece of a reply; `offset` counts the characters before it."""

    reply_id: str
    offset: int
    text: str


class DeltaHub:
    """Pass deltas on to whoever listens to their conversation in this process; drop the others."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: dict[UUID, list[SimpleQueue[Delta | None]]] = {}

    @contextmanager
    def listen(self, conversation_id: UUID) -> "Iterator[SimpleQueue[Delta | None]]":
        """Collect a conversation's deltas while the block runs."""
        queue: SimpleQueue[Delta | None] = SimpleQueue()
        with self._lock:
            self._listeners.setdefault(conversation_id, []).append(queue)
        try:
            yield queue
        finally:
            with self._lock:
                self._listeners[conversation_id].remove(queue)
                if not self._listeners[conversation_id]:
                    del self._listeners[conversation_id]

    def is_heard(self, conversation_id: UUID) -> bool:
        """Tell whether somebody listens to a conversation."""
        return conversation_id in self._listeners

    def emit(self, *, conversation_id: UUID, reply_id: str, offset: int, text: str) -> None:
        """Hand a delta to the listeners; costs a look-up where there are none."""
        if conversation_id in self._listeners:
            with self._lock:
                for queue in self._listeners.get(conversation_id, ()):
                    queue.put(Delta(reply_id, offset, text))


HUB = DeltaHub()


class LocalDeltas:
    """The engine's sink of this process, one of settings.DELTA_SINKS."""

    def is_heard(self, *, conversation_id: UUID, channel: str) -> bool:
        """Tell whether a request of this process waits for the pieces."""
        return HUB.is_heard(conversation_id)

    def emit(self, *, tenant_id: UUID, conversation_id: UUID, reply_id: str, offset: int, text: str) -> None:
        """Hand a delta to the requests of this process that wait for it."""
        HUB.emit(conversation_id=conversation_id, reply_id=reply_id, offset=offset, text=text)


class StreamedText:
    """Turn deltas, which may begin again when a step is retried, into text that is only ever appended."""

    def __init__(self) -> None:
        self.sent = ""
        self._attempt = ""
        self._reply_id = ""

    def accept(self, delta: Delta) -> str:
        """Return what may be sent on now; "" while a new attempt repeats, or contradicts, what was sent."""
        if delta.reply_id != self._reply_id or delta.offset == 0:
            self._reply_id, self._attempt = delta.reply_id, ""
        if delta.offset != len(self._attempt):
            return ""
        self._attempt += delta.text
        if not self._attempt.startswith(self.sent):
            return ""
        news = self._attempt[len(self.sent) :]
        self.sent = self._attempt
        return news

    def finish(self, final: str) -> str:
        """Return what is missing of the stored reply; all of it, set apart, where another text was begun."""
        if final.startswith(self.sent):
            return final[len(self.sent) :]
        return f"\n\n{final}"
