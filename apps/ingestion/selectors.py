"""Reads: documents, and what the knowledge says to a query."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import numpy as np
from django.db import connection

from apps.inference.services import detect_language, embed_query
from apps.ingestion.contracts import DocumentView, SearchHit
from apps.ingestion.fusion import Candidate, fuse, weigh_full_text
from apps.ingestion.models import Chunk, Document
from apps.ingestion.terms import QueryWord, quote_term, read_query
from apps.resilience.errors import NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef

MAX_TOP_K = 100
SCORE = "SELECT * FROM score_chunks(%s::vector, %s::int[], %s::text[], %s::bool[], %s)"


@dataclass(frozen=True)
class SearchExplanation:
    """What a search found, `measures` by passage, and the share that full text had in the scores."""

    hits: list[SearchHit] = field(default_factory=list)
    measures: dict[UUID, Candidate] = field(default_factory=dict)
    terms: list[str] = field(default_factory=list)
    full_text_weight: float = 0.0
    language: str = ""


def get_document(*, tenant: TenantRef, document_id: UUID) -> DocumentView:
    """Return one document; raises NotFoundError."""
    with in_tenant(tenant):
        document = Document.objects.kept().filter(id=document_id).first()
    if document is None:
        raise NotFoundError("There is no such document.")
    return document.to_view()


def list_documents(*, tenant: TenantRef, status: str | None = None, limit: int = 100) -> list[DocumentView]:
    """Return the newest documents."""
    with in_tenant(tenant):
        documents = Document.objects.kept().order_by("-created_at", "-id")
        if status:
            documents = documents.filter(status=status)
        return [document.to_view() for document in documents[:limit]]


def has_documents_besides(*, tenant: TenantRef, titles: Sequence[str]) -> bool:
    """Tell whether there is a document with another title than these."""
    with in_tenant(tenant):
        return Document.objects.kept().exclude(title__in=titles).exists()


def search_knowledge(*, tenant: TenantRef, query: str, top_k: int = 5) -> list[SearchHit]:
    """Return the passages that fit a query best, best first; nothing for an empty query.

    Words and vectors are searched together; other languages than English by their words alone.
    """
    return explain_search(tenant=tenant, query=query, top_k=top_k).hits


def explain_search(*, tenant: TenantRef, query: str, top_k: int = 5) -> SearchExplanation:
    """Search, and say which words were looked for and how each passage measured up."""
    if not query.strip():
        return SearchExplanation()
    language = detect_language(query)
    vector = embed_query(query) if language == "en" else None
    words = read_query(query, language=language)
    with in_tenant(tenant):
        candidates, exact = score_candidates(words, vector)
        full_text = weigh_full_text(reads_meaning=vector is not None, exact=exact)
        ranked = fuse(candidates, full_text=full_text)[: min(top_k, MAX_TOP_K)]
        hits = _load_hits(ranked)
    return SearchExplanation(
        hits=hits,
        measures={candidate.chunk_id: candidate for candidate, _ in ranked},
        terms=[term for word in words for term in word.terms],
        full_text_weight=full_text,
        language=language,
    )


def score_candidates(words: Sequence[QueryWord], vector: np.ndarray | None) -> tuple[list[Candidate], float]:
    """Return all passages worth a look with their measures, and the share of identifiers in the query.

    Must run inside `in_tenant`. One statement.
    """
    numbered = [(number, term, word) for number, word in enumerate(words) for term in word.terms]
    every_word = " & ".join(f"({' | '.join(map(quote_term, word.terms))})" for word in words)
    arguments: list[Any] = [
        None if vector is None else "[" + ",".join(map(repr, vector.tolist())) + "]",
        [number for number, _, _ in numbered],
        [quote_term(term) for _, term, _ in numbered],
        [word.is_identifier for _, _, word in numbered],
        every_word,
    ]
    with connection.cursor() as cursor:
        cursor.execute(SCORE, arguments)
        rows = cursor.fetchall()
    return [Candidate(*row[:5]) for row in rows], rows[0][5] if rows else 0.0


def _load_hits(ranked: list[tuple[Candidate, float]]) -> list[SearchHit]:
    chunks = Chunk.objects.filter(id__in=[candidate.chunk_id for candidate, _ in ranked])
    found = {
        chunk.id: chunk
        for chunk in chunks.select_related("document").only(
            "heading", "text", "document__title", "document__url"
        )
    }
    return [
        SearchHit(
            document_id=candidate.document_id,
            chunk_id=candidate.chunk_id,
            title=found[candidate.chunk_id].document.title,
            heading=found[candidate.chunk_id].heading,
            text=found[candidate.chunk_id].text,
            score=round(score, 4),
            url=found[candidate.chunk_id].document.url or None,
        )
        for candidate, score in ranked
        if candidate.chunk_id in found
    ]
