"""From a document's bytes to passages with vectors; knows nothing of leases and transactions."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np

from apps.inference.services import detect_language, embed_texts, embedder_fingerprint
from apps.ingestion.chunking import Passage, chunk_sections
from apps.ingestion.contracts import DocumentStatus, UploadedFile
from apps.ingestion.models import Chunk, Document
from apps.ingestion.parsing.contracts import ParsedDocument, Unreadable
from apps.ingestion.parsing.sandbox import parse_safely
from apps.ingestion.terms import build_tsvector

EMBED_AT_ONCE = 32
MAX_TITLE_CHARS = 300
MAX_HEADING_CHARS = 500
EMBEDDED_TITLE_CHARS = 160
POOR_TITLE = re.compile(r"^(microsoft |untitled|document ?\d*$|slide ?\d*$|\S+\.\w{2,5}$)", re.IGNORECASE)

Report = Callable[[DocumentStatus, int], None]


@dataclass(frozen=True, slots=True)
class Index:
    """All that a search needs of one document."""

    title: str
    title_vector: np.ndarray
    language: str
    embedder: str
    passages: list[Passage]
    vectors: np.ndarray

    def build_chunks(self, document: Document) -> list[Chunk]:
        """Return the rows, not yet saved."""
        return [
            Chunk(
                document=document,
                position=position,
                heading=passage.heading[:MAX_HEADING_CHARS],
                text=passage.text,
                token_count=passage.token_count,
                terms=build_tsvector(_full_text(self.title, passage), language=self.language),
                vector=vector,
            )
            for position, (passage, vector) in enumerate(zip(self.passages, self.vectors, strict=True))
        ]


def build_index(*, file: UploadedFile, title: str, report: Report) -> Index:
    """Parse, chunk and embed; an empty title is taken from the document or its name.

    `report` hears of each step with the progress in percent. Raises Unreadable.
    """
    report(DocumentStatus.PARSING, 5)
    parsed = parse_safely(file.name, file.content)
    report(DocumentStatus.CHUNKING, 25)
    passages = chunk_sections(parsed.sections)
    if not passages:
        raise Unreadable("The document holds no text: upload one that does.")
    title = (title or _find_title(parsed, file.name))[:MAX_TITLE_CHARS]
    return Index(
        title=title,
        title_vector=embed_texts([title])[0],
        language=detect_language(" ".join(passage.text for passage in passages[:5])),
        embedder=embedder_fingerprint(),
        passages=passages,
        vectors=_embed(title, passages, report),
    )


def _find_title(parsed: ParsedDocument, name: str) -> str:
    title = " ".join(parsed.title.split())
    if title and not POOR_TITLE.match(title):
        return title
    return re.sub(r"[_\-\s]+", " ", PurePath(name).stem).strip() or "Untitled"


def _embed(title: str, passages: list[Passage], report: Report) -> np.ndarray:
    texts = [_full_text(title[:EMBEDDED_TITLE_CHARS], passage) for passage in passages]
    batches = []
    for start in range(0, len(texts), EMBED_AT_ONCE):
        report(DocumentStatus.EMBEDDING, 30 + 65 * start // len(texts))
        batches.append(embed_texts(texts[start : start + EMBED_AT_ONCE]))
    return np.concatenate(batches)


def _full_text(title: str, passage: Passage) -> str:
    heading = passage.heading if len(passage.heading) <= EMBEDDED_TITLE_CHARS else passage.heading[-160:]
    return "\n".join(filter(None, (title, heading, passage.text)))
