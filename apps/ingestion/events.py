"""What happened to documents."""

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from apps.events.contracts import DomainEvent


@dataclass(frozen=True, kw_only=True)
class DocumentAccepted(DomainEvent):
    """A document waits to be made findable, for the first time or anew."""

    type: ClassVar[str] = "agent.document.accepted"

    document_id: UUID


@dataclass(frozen=True, kw_only=True)
class DocumentDeleted(DomainEvent):
    """A document was deleted; nothing of it can be found any more."""

    type: ClassVar[str] = "agent.document.deleted"

    document_id: UUID


@dataclass(frozen=True, kw_only=True)
class DocumentIndexed(DomainEvent):
    """A document, or a new version of it, can be found; `revision` counts the versions from 1."""

    type: ClassVar[str] = "agent.document.indexed"

    document_id: UUID
    revision: int
    chunk_count: int
    token_count: int
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class DocumentFailed(DomainEvent):
    """A document could not be read; `reason` says what its owner can do."""

    type: ClassVar[str] = "agent.document.failed"

    document_id: UUID
    revision: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class KnowledgeSearched(DomainEvent):
    """Somebody searched over the API; the query itself stays out of the event."""

    type: ClassVar[str] = "agent.knowledge.searched"

    search_id: UUID
    result_count: int
