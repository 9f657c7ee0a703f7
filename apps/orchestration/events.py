"""What happened to runs."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from apps.events.contracts import DomainEvent


@dataclass(frozen=True, kw_only=True)
class RunStarted(DomainEvent):
    type: ClassVar[str] = "agent.run.started"

    workflow: str
    hash: str


@dataclass(frozen=True, kw_only=True)
class RunCompleted(DomainEvent):
    type: ClassVar[str] = "agent.run.completed"

    workflow: str
    latency_ms: int
    is_fallback: bool
    receipt: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RunFailed(DomainEvent):
    """A run ended otherwise: `status` is failed, compensated, compensation_failed or cancelled."""

    type: ClassVar[str] = "agent.run.failed"

    workflow: str
    status: str
    error: str


@dataclass(frozen=True, kw_only=True)
class StepCompleted(DomainEvent):
    type: ClassVar[str] = "agent.step.completed"

    step: str
    step_type: str
    duration_ms: int
    attempt: int


@dataclass(frozen=True, kw_only=True)
class StepCompensated(DomainEvent):
    type: ClassVar[str] = "agent.step.compensated"

    step: str
    action: str


@dataclass(frozen=True, kw_only=True)
class RouteDecided(DomainEvent):
    type: ClassVar[str] = "agent.route.decided"

    intent: str
    confidence: float
    tier: str
    escalate: bool
    model_version: str
