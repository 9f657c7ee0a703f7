"""What the event path needs of a broker."""

from collections.abc import Mapping, Sequence
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
    """A stream as the broker knows it: when it was made, how far it has come, and what it holds at a place.

    `found` is the event at `place`, the sequence that was asked for; None where there is none (any more).
    """

    stream: str
    born_at: str
    last_sequence: int
    place: int
    found: UUID | None


@dataclass(frozen=True)
class Published:
    """What the broker has acknowledged: positions, and by stream the highest sequence with its event."""

    positions: tuple[int, ...]
    sequences: dict[str, tuple[int, UUID]]


class Broker(Protocol):
    async def declare_streams(self, places: Mapping[str, int]) -> list[Birth]:
        """Create what is missing and return every stream, and what it holds at its place."""

    async def publish(self, messages: Sequence[Outgoing]) -> Published:
        """Publish in order and return what was acknowledged; the rest is unknown, to be sent again."""


class BrokerUnavailable(Exception):
    """The broker does not answer; try again later."""
