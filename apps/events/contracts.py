"""The shape of a domain event and of those who consume it."""

import dataclasses
import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

CARRIED = frozenset({"tenant_id", "run_id", "conversation_id"})
Upcaster = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class DomainEvent:
    """A fact in the past tense; subclasses add plain, JSON-able fields.

    Whoever takes a field away or changes its meaning raises `version`, and says in `upcasters` how the data
    of each former version becomes the next one's: consumers are only ever shown the newest.
    """

    type: ClassVar[str]
    version: ClassVar[int] = 1
    upcasters: ClassVar[Mapping[int, Upcaster]] = {}

    tenant_id: UUID
    run_id: UUID | None = None
    conversation_id: UUID | None = None

    def data(self) -> dict[str, Any]:
        """Return the event's own fields, JSON-able."""
        fields = (f.name for f in dataclasses.fields(self) if f.name not in CARRIED)
        return {name: _plain(getattr(self, name)) for name in fields}

    def event_id(self) -> UUID | None:
        """Return a fixed id when the same fact may be told twice, else None for a new one."""
        return None


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """An event as it travels; `id` is also its Nats-Msg-Id.

    `depth` counts the runs that led to it, where events or other runs have started them.
    """

    id: UUID
    type: str
    version: int
    tenant_id: UUID
    occurred_at: dt.datetime
    data: dict[str, Any]
    run_id: UUID | None = None
    conversation_id: UUID | None = None
    trace: str = ""
    depth: int | None = None

    def as_json(self) -> dict[str, Any]:
        fields = ((f.name, getattr(self, f.name)) for f in dataclasses.fields(self))
        return {name: _plain(value) for name, value in fields if value is not None}

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> "Envelope":
        """Build an envelope from its JSON; raises ValueError, KeyError or TypeError when it is not one."""
        return cls(
            id=UUID(raw["id"]),
            type=str(raw["type"]),
            version=int(raw["version"]),
            tenant_id=UUID(raw["tenant_id"]),
            occurred_at=dt.datetime.fromisoformat(raw["occurred_at"]),
            data=dict(raw["data"]),
            run_id=UUID(raw["run_id"]) if raw.get("run_id") else None,
            conversation_id=UUID(raw["conversation_id"]) if raw.get("conversation_id") else None,
            trace=str(raw.get("trace", "")),
            depth=int(raw["depth"]) if raw.get("depth") else None,
        )


@dataclass(frozen=True)
class Stream:
    """A JetStream stream; names may not contain dots, and `>` matches every deeper subject."""

    name: str
    subjects: tuple[str, ...]
    max_age_s: int


@dataclass(frozen=True)
class Consumer:
    """A durable consumer and the handler, by dotted path, that it feeds.

    One that `takes_many` gets a tenant's events as a list, in their order; any other gets one at a time.
    """

    name: str
    stream: str
    subjects: tuple[str, ...]
    handler: str
    takes_many: bool = False


STREAMS = (
    Stream("AGENT_EVENTS", ("agent.>",), max_age_s=7 * 86_400),
    Stream("BILLING_EVENTS", ("billing.>",), max_age_s=30 * 86_400),
)
MAX_DELIVERIES = 3
# What the broker itself tells of messages that it will not deliver again: it waits there for a consumer that
# was down when it was told.
ADVISORIES = Stream("ADVISORIES", ("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>",), max_age_s=30 * 86_400)


def stream_of(event_type: str) -> str:
    """Name the stream that carries an event type; raises ValueError for an unknown domain."""
    for stream in STREAMS:
        if any(event_type.startswith(subject.removesuffix(">")) for subject in stream.subjects):
            return stream.name
    raise ValueError(f"no stream carries {event_type!r}")


def _plain(value: Any) -> Any:
    if value is None or type(value) in (str, int, float, bool):
        return value
    if isinstance(value, UUID | Decimal):
        return str(value)
    if isinstance(value, dt.datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
