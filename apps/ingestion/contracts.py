"""What leaves ingestion: documents as others see them, and what a search finds."""

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class DocumentStatus(StrEnum):
    """Where a document is on its way into the knowledge."""

    QUEUED = "queued"
    PARSING = "parsing"
    CHUNKING = "chunking"
    EMBEDDING = "embedding"
    READY = "ready"
    FAILED = "failed"


IN_PROGRESS = (
    DocumentStatus.QUEUED,
    DocumentStatus.PARSING,
    DocumentStatus.CHUNKING,
    DocumentStatus.EMBEDDING,
)


class DocumentKind(StrEnum):
    """How the document came."""

    FILE = "file"
    TEXT = "text"
    URL = "url"


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file's name and bytes, as they were uploaded."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class DocumentView:
    """A document without its text; `progress_percent` runs from 0 to 100.

    `is_new`: it was added just now, and was not here already.
    """

    id: UUID
    title: str
    kind: DocumentKind
    status: DocumentStatus
    progress_percent: int
    error: str
    file_name: str
    url: str
    size_bytes: int
    language: str
    chunk_count: int
    token_count: int
    created_at: dt.datetime
    processed_at: dt.datetime | None
    is_new: bool = False


@dataclass(frozen=True, slots=True)
class SearchHit:
    """A passage that was found; score in 0..1, comparable between queries."""

    document_id: UUID
    chunk_id: UUID
    title: str
    heading: str
    text: str
    score: float
    url: str | None = None
