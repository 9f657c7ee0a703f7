"""LLM step: writes the reply from what the earlier steps found."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import structlog

from apps.inference.contracts import ChatRequest, ChatResult, ChatTurn, Citation, Fact, ModelError, Source
from apps.inference.services import answer_extractively, complete_chat
from apps.orchestration.steps.context import Output, StepContext
from apps.orchestration.steps.history import read_history
from apps.orchestration.tools.knowledge import faq_search
from apps.tenants.context import release_connection

TIMEOUT_S = 30.0
# What is no question to the knowledge is not answered with "I could not find that".
THANKS = {"sales_lead": "Thank you for your interest."}
log = structlog.get_logger(__name__)


def write_reply(context: StepContext) -> Output:
    """Write the reply, streaming it; when the model's server fails, answer from the sources and say so."""
    request = _request(context)
    handover = str(context.find("handover") or "")
    if handover and not request.sources and not request.facts:
        # A person answers and nothing was found: a model would only say that it does not know.
        _emit(context, handover)
        return _output(ChatResult(text="", provider="rules", model="", knows=False), handover, "")
    emitted: list[str] = []

    def emit(text: str) -> None:
        emitted.append(text)
        _emit(context, text)

    reason = ""
    release_connection()  # a model takes seconds, and there are fewer connections than threads
    try:
        result = complete_chat(
            tenant=context.tenant, request=request, on_delta=emit if context.emit else None
        )
    except ModelError as error:
        reason = f"{type(error).__name__}: {error}"
        log.warning("model_failed", run_id=str(context.run_id), reason=reason)
        # Pieces of a broken answer were shown already: the stored reply replaces them.
        result = answer_extractively(tenant=context.tenant, request=request)
    if not result.knows and context.find("intent") in THANKS:
        result = dataclasses.replace(result, text=THANKS[str(context.find("intent"))])
    if handover:
        _emit(context, f" {handover}" if emitted else handover)
    return _output(result, handover, reason)


def _emit(context: StepContext, text: str) -> None:
    if context.emit:
        context.emit(text)


def _request(context: StepContext) -> ChatRequest:
    arguments = context.arguments
    turns = [*read_history(context, int(arguments.get("history", 8))), ChatTurn("user", context.text)]
    settings = {name: arguments[name] for name in ("temperature", "max_tokens") if name in arguments}
    facts = tuple(_facts(context))
    return ChatRequest(
        model=context.model or str(context.find("model") or ""),
        turns=tuple(turns),
        system_prompt=_system_prompt(context),
        sources=tuple(_sources(context) or ([] if facts else _look_up(context))),
        facts=facts,
        timeout_s=context.timeout_s or TIMEOUT_S,
        is_grounded=bool(context.arguments.get("knowledge", True)),
        **settings,
    )


def _system_prompt(context: StepContext) -> str:
    prompt = str(context.arguments.get("system_prompt", ""))
    if context.find("handover"):
        prompt += (
            "\nA human colleague takes this conversation over; the customer is told so after your answer."
            " Do not promise anything on the colleague's behalf."
        )
    return prompt.strip()


def _sources(context: StepContext) -> list[Source]:
    return [_source(raw) for output in context.outputs.values() for raw in output.get("sources", ())]


def _look_up(context: StepContext) -> list[Source]:
    """Search the knowledge where no earlier step found anything; not for small talk or a person's turn.

    A workflow whose step says `knowledge: false` passes the question on as it is.
    """
    is_wanted = context.arguments.get("knowledge", True)
    if not is_wanted or context.find("intent") == "smalltalk" or context.find("handover"):
        return []
    return [_source(raw) for raw in faq_search(context)["sources"]]


def _source(raw: dict[str, Any]) -> Source:
    # An earlier step's output has been JSON, one of this moment has not.
    ids = {name: UUID(str(raw[name])) for name in ("document_id", "chunk_id")}
    return Source(**{**raw, **ids})


def _facts(context: StepContext) -> Iterator[Fact]:
    for output in context.outputs.values():
        for raw in output.get("facts", ()):
            yield Fact(raw["kind"], raw["text"], raw.get("data", {}))


def _output(result: ChatResult, handover: str, reason: str) -> Output:
    own = dataclasses.asdict(result)
    text = f"{result.text} {handover}".strip()
    is_fallback = bool(reason) or result.is_fallback
    fields: dict[str, Any] = {"text": text, "is_fallback": is_fallback, "fallback_reason": reason}
    return {**own, **fields, "citations": [_citation(citation) for citation in result.citations]}


def _citation(citation: Citation) -> dict[str, Any]:
    ids = {"document_id": str(citation.document_id), "chunk_id": str(citation.chunk_id)}
    return {**dataclasses.asdict(citation), **ids}
