"""A compiled definition as JSON and back, so that a pinned version outlives changes of the compiler."""

from __future__ import annotations

import dataclasses
from typing import Any

from apps.orchestration.definitions.contracts import (
    CompensationDefinition,
    Effect,
    InputDefinition,
    OutputDefinition,
    RetryRule,
    StepDefinition,
    StepType,
    TriggerDefinition,
    WorkflowDefinition,
)


def definition_to_json(definition: WorkflowDefinition) -> dict[str, Any]:
    """Write a definition as plain data."""
    return dataclasses.asdict(definition)


def definition_from_json(data: dict[str, Any]) -> WorkflowDefinition:
    """Read what `definition_to_json` wrote."""
    compensation = {
        step: CompensationDefinition(**{**entry, "effect": Effect(entry["effect"])})
        for step, entry in data["compensation"].items()
    }
    return WorkflowDefinition(
        **{
            **data,
            "triggers": tuple(TriggerDefinition(**trigger) for trigger in data["triggers"]),
            "inputs": tuple(InputDefinition(**spec) for spec in data["inputs"]),
            "steps": tuple(_step(step) for step in data["steps"]),
            "compensation": compensation,
            "outputs": tuple(OutputDefinition(**spec) for spec in data.get("outputs", ())),
        }
    )


def _step(data: dict[str, Any]) -> StepDefinition:
    kinds = {
        "type": StepType(data["type"]),
        "effect": Effect(data["effect"]),
        "retry": RetryRule(**data["retry"]),
    }
    return StepDefinition(**{**data, **kinds})
