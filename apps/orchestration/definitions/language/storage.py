"""A compiled definition as JSON and back, so that a pinned version outlives changes of the compiler."""

from __future__ import annotations

import dataclasses
from typing import Any

from apps.orchestration.contracts import Priority
from apps.orchestration.definitions.contracts import (
    BranchDefinition,
    CompensationDefinition,
    Effect,
    InputDefinition,
    OutputDefinition,
    RetryRule,
    StepDefinition,
    StepType,
    TransitionDefinition,
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
            "priority": Priority(data["priority"]) if data.get("priority") else None,
            "outputs": tuple(OutputDefinition(**spec) for spec in data.get("outputs", ())),
        }
    )


def _step(data: dict[str, Any]) -> StepDefinition:
    kinds: dict[str, Any] = {
        "type": StepType(data["type"]),
        "effect": Effect(data["effect"]),
        "retry": RetryRule(**data["retry"]),
        "branches": tuple(_branch(branch) for branch in data.get("branches", ())),
        "body": tuple(_step(step) for step in data.get("body", ())),
        "next": tuple(TransitionDefinition(**entry) for entry in data.get("next", ())),
    }
    return StepDefinition(**{**data, **kinds})


def _branch(data: dict[str, Any]) -> BranchDefinition:
    return BranchDefinition(data["id"], tuple(_step(step) for step in data["steps"]))
