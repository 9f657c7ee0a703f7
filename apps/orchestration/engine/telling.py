"""What the world is told of a step."""

from __future__ import annotations

from typing import Any

from apps.events.contracts import DomainEvent
from apps.orchestration import events
from apps.orchestration.definitions.contracts import StepType
from apps.orchestration.engine.commands import Execute
from apps.orchestration.engine.journal import Journal
from apps.orchestration.steps.context import Output


def step_events(journal: Journal, command: Execute, output: Output, duration_ms: int) -> list[DomainEvent]:
    """Return the events of a step that was done."""
    run, step = journal.run, command.step
    carried: dict[str, Any] = {
        "tenant_id": journal.tenant.id, "run_id": run.id, "conversation_id": run.conversation_id,
    }  # fmt: skip
    told: list[DomainEvent] = [
        events.StepCompleted(
            **carried,
            step=command.path,
            step_type=step.type,
            duration_ms=duration_ms,
            attempt=command.attempt,
        )
    ]
    if step.type is StepType.ROUTER:
        names = ("intent", "confidence", "tier", "escalate", "model_version")
        told.append(events.RouteDecided(**carried, **{name: output[name] for name in names}))
    return told
