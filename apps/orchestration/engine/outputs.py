"""What a completed run gives, as its workflow declares it."""

from __future__ import annotations

from typing import Any

from apps.orchestration.definitions.contracts import OutputDefinition, WorkflowDefinition
from apps.orchestration.definitions.language import types as t
from apps.orchestration.definitions.language.expressions import EvaluationError, render
from apps.orchestration.engine.decisions import variables_of
from apps.orchestration.engine.state import RunState


def compute_outputs(state: RunState, definition: WorkflowDefinition) -> dict[str, Any]:
    """Return `outputs`, and `output_errors` where one could not be computed.

    Such a one is null: what was done is not undone because it cannot be told.
    """
    if not definition.outputs:
        return {}
    variables = variables_of(state, definition, {})
    outputs: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for declared in definition.outputs:
        try:
            outputs[declared.name] = _compute(declared, variables)
        except EvaluationError as error:
            outputs[declared.name], errors[declared.name] = None, str(error)
    return {"outputs": outputs, **({"output_errors": errors} if errors else {})}


def _compute(declared: OutputDefinition, variables: dict[str, Any]) -> Any:
    value = render(declared.value, variables)
    if not t.fits(value, declared.type):
        raise EvaluationError(f"{declared.name}: this is not a {declared.type}")
    return float(value) if declared.type == "double" else value
