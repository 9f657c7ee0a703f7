"""Suggest answers to people."""

import re
from collections.abc import Sequence
from uuid import UUID

from apps.conversations.contracts import Author, Suggestion
from apps.conversations.models import Escalation
from apps.conversations.selectors.reading import get_escalation, list_recent_turns
from apps.inference.contracts import ChatRequest, ChatTurn, Source
from apps.inference.services import answer_extractively
from apps.ingestion.selectors import search_knowledge
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef

CITATION = re.compile(r"\s*\[(\d{1,2})\]")
QUESTION_CHARS = 1_000
TURNS = 12
MAX_SOURCES = 3


def suggest_answer(*, tenant: TenantRef, escalation_id: UUID) -> Suggestion:
    """Return what the AI would answer, else what the knowledge says; the first one found is kept.

    Takes up to some hundred milliseconds: must not be called inside a transaction. Raises NotFoundError.
    """
    escalation = get_escalation(tenant=tenant, escalation_id=escalation_id)
    if escalation.suggested_answer:
        return Suggestion(text=escalation.suggested_answer, sources=escalation.suggested_sources)
    turns = list_recent_turns(tenant=tenant, conversation_id=escalation.conversation_id, limit=TURNS)
    asked = [turn.text for turn in turns if turn.author is Author.CUSTOMER]
    if not asked:
        return Suggestion(text="", sources=[])
    suggestion = _look_up(tenant, asked[-1][:QUESTION_CHARS])
    if suggestion.text:
        kept = {"suggested_answer": suggestion.text, "suggested_sources": suggestion.sources}
        with in_tenant(tenant):
            Escalation.objects.filter(id=escalation_id, suggested_answer="").update(**kept)
    return suggestion


def _look_up(tenant: TenantRef, question: str) -> Suggestion:
    hits = search_knowledge(tenant=tenant, query=question, top_k=5)
    names = ("document_id", "chunk_id", "title", "heading", "text", "score", "url")
    sources = tuple(Source(**{name: getattr(hit, name) for name in names}) for hit in hits)
    if not sources:
        return Suggestion(text="", sources=[])
    request = ChatRequest(model="", turns=(ChatTurn("user", question),), sources=sources)
    answer = answer_extractively(tenant=tenant, request=request)
    if not answer.knows:
        return Suggestion(text="", sources=_documents(sources))
    cited = [sources[number - 1] for number in _cited(answer.text) if 1 <= number <= len(sources)]
    text = CITATION.sub("", answer.text).strip()
    return Suggestion(text=text, sources=_documents(cited or sources))


def _cited(text: str) -> list[int]:
    return [int(number) for number in CITATION.findall(text)]


def _documents(sources: Sequence[Source]) -> list[dict[str, str]]:
    titles = {str(source.document_id): source.title for source in sources}
    return [{"id": found, "title": title} for found, title in list(titles.items())[:MAX_SOURCES]]
