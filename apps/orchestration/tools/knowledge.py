"""Knowledge tools."""

from __future__ import annotations

import dataclasses

from apps.ingestion.selectors import search_knowledge
from apps.orchestration.steps.context import Output, StepContext

MAX_RESULTS = 5


def faq_search(context: StepContext) -> Output:
    """Search the tenant's knowledge; `is_confident` says whether the best passage passes the threshold.

    Passages below the threshold are still sources: the answer's own evidence check decides, and a
    question put in unusual words must not lose the right passage here.
    """
    arguments = context.arguments
    query = str(arguments.get("query") or context.text)
    limit = int(arguments.get("max_results", MAX_RESULTS))
    hits = search_knowledge(tenant=context.tenant, query=query, top_k=limit) if query.strip() else []
    sources = [dataclasses.asdict(hit) for hit in hits]
    best = max((float(hit.score) for hit in hits), default=0.0)
    names = ("document_id", "chunk_id", "title", "heading", "text", "score", "url")
    return {
        "found": bool(hits),
        "count": len(hits),
        "best_score": best,
        "is_confident": bool(hits) and best >= float(arguments.get("similarity_threshold", 0.0)),
        "sources": [{name: source.get(name) for name in names} for source in sources],
    }
