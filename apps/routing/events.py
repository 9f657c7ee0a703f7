"""Facts about routing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from apps.events.contracts import DomainEvent
from apps.routing.contracts import RouteDecision


@dataclass(frozen=True, kw_only=True)
class RouteDecided(DomainEvent):
    """A run took a route; published by the run's own transaction."""

    type: ClassVar[str] = "agent.route.decided"
    intent: str
    confidence: float
    tier: str
    model: str
    escalate: bool
    in_scope: bool
    model_version: str
    latency_ms: float
    reasons: list[str]

    @classmethod
    def from_decision(
        cls,
        decision: RouteDecision,
        *,
        tenant_id: UUID,
        run_id: UUID | None = None,
        conversation_id: UUID | None = None,
    ) -> RouteDecided:
        """Tell a decision as a fact."""
        return cls(
            tenant_id=tenant_id,
            run_id=run_id,
            conversation_id=conversation_id,
            intent=decision.intent,
            confidence=decision.confidence,
            tier=decision.tier.value,
            model=decision.model,
            escalate=decision.escalate,
            in_scope=decision.in_scope,
            model_version=decision.model_version,
            latency_ms=decision.latency_ms,
            reasons=list(decision.reasons),
        )
