"""Route messages; writes nothing."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from uuid import UUID

import structlog
from django.conf import settings

from apps.inference.services import embed_query
from apps.resilience.errors import InvalidInput
from apps.routing.contracts import RouteDecision
from apps.routing.decisions import Message, decide_route
from apps.routing.loading import classifier_of, default_classifier
from apps.routing.metrics import confidence_label, router_decisions_total
from apps.routing.tiers import ChatModels
from apps.tenants.contracts import TenantRef

log = structlog.get_logger(__name__)


def route_message(
    *,
    tenant: TenantRef,
    text: str,
    channel: str = "api",
    history: Sequence[str] = (),
    customer_id: UUID | None = None,
) -> RouteDecision:
    """Decide how a message is handled, and count the decision; writes nothing.

    `history` holds the customer's messages before this one, oldest first.
    Raises InvalidInput for an empty text.
    """
    decision = preview_route(tenant=tenant, text=text, channel=channel, history=history)
    router_decisions_total.labels(
        str(tenant.id), decision.tier.value, confidence_label(decision.confidence)
    ).inc()
    log.info(
        "route_decided",
        tenant_id=str(tenant.id),
        customer_id=str(customer_id) if customer_id else None,
        intent=decision.intent,
        confidence=decision.confidence,
        tier=decision.tier.value,
        escalate=decision.escalate,
        latency_ms=decision.latency_ms,
    )
    return decision


def preview_route(
    *, tenant: TenantRef, text: str, channel: str = "api", history: Sequence[str] = ()
) -> RouteDecision:
    """Decide as `route_message` does, without any trace."""
    started = time.perf_counter()
    if not text.strip():
        raise InvalidInput({"text": ["Give the message's text; it is empty."]})
    classifier, version = classifier_of(tenant)
    decision = decide_route(
        Message(text, channel, history),
        classifier=classifier,
        version=version,
        embed=embed_query,
        models=_chat_models(),
    )
    return dataclasses.replace(decision, latency_ms=round((time.perf_counter() - started) * 1000, 2))


def warm_router() -> str:
    """Load the default model ahead of the first message, training it if need be; return its version."""
    return default_classifier()[1]


def _chat_models() -> ChatModels:
    if not (settings.OPENAI_API_KEY or settings.OPENAI_BASE_URL):
        return ChatModels()
    return ChatModels(small=settings.CHAT_MODEL_SMALL, large=settings.CHAT_MODEL_LARGE)
