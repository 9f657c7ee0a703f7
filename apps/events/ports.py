"""What the event path needs of a broker."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID


@dataclass(frozen=True)
class Outgoing:
    """A message to publish; `id` lets the broker drop a repetition."""

    position: int
    id: UUID
    stream: str
    subject: str
    body: bytes


@dataclass(frozen=True)
class Birth:
    """A stream as the broker knows it: when it was made and how far it has come."""

    stream: str
    born_at: str
    last_sequence: int


@dataclass(frozen=True)
class Published:
    """What the broker has acknowledged: positions, and the highest sequence by stream."""

    positions: tuple[int, ...]
    sequences: dict[str, int]


class Broker(Protocol):
    async def declare_streams(self) -> list[Birth]:
        """Create what is missing and return every stream; raises BrokerUnavailable."""

    async def publish(self, messages: Sequence[Outgoing]) -> Published:
        """Publish in order and return what was acknowledged; the rest is unknown, to be sent again."""


class BrokerUnavailable(Exception):
    """The broker does not answer; try again later."""
