"""Suggest answers to people."""

import re
from uuid import UUID

from apps.conversations.contracts import Author, Suggestion
from apps.conversations.models import Escalation
from apps.conversations.selectors.reading import get_escalation, list_recent_turns
from apps.inference.contracts import ChatRequest, ChatTurn, Source
from apps.inference.services import answer_extractively
from apps.ingestion.selectors import search_knowledge
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef

CITATION = re.compile(r"\s*\[\d{1,2}\]")
QUESTION_CHARS = 1_000
TURNS = 12


def suggest_answer(*, tenant: TenantRef, escalation_id: UUID) -> Suggestion:
    """Return what the AI would answer, else what the knowledge says; the first one found is kept.

    Takes up to some hundred milliseconds: must not be called inside a transaction. Raises NotFoundError.
    """
    escalation = get_escalation(tenant=tenant, escalation_id=escalation_id)
    if escalation.suggested_answer:
        return Suggestion(text=escalation.suggested_answer, titles=())
    turns = list_recent_turns(tenant=tenant, conversation_id=escalation.conversation_id, limit=TURNS)
    asked = [turn.text for turn in turns if turn.author is Author.CUSTOMER]
    if not asked:
        return Suggestion(text="", titles=())
    return _look_up(tenant, escalation_id, asked[-1][:QUESTION_CHARS])


def _look_up(tenant: TenantRef, escalation_id: UUID, question: str) -> Suggestion:
    hits = search_knowledge(tenant=tenant, query=question, top_k=5)
    names = ("document_id", "chunk_id", "title", "heading", "text", "score", "url")
    sources = tuple(Source(**{name: getattr(hit, name) for name in names}) for hit in hits)
    titles = tuple(dict.fromkeys(hit.title for hit in hits))[:3]
    if not sources:
        return Suggestion(text="", titles=())
    request = ChatRequest(model="", turns=(ChatTurn("user", question),), sources=sources)
    answer = answer_extractively(tenant=tenant, request=request)
    if not answer.knows:
        return Suggestion(text="", titles=titles)
    text = CITATION.sub("", answer.text).strip()
    with in_tenant(tenant):
        Escalation.objects.filter(id=escalation_id, suggested_answer="").update(suggested_answer=text)
    return Suggestion(text=text, titles=titles)
