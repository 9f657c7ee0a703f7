"""Source -> problems, or a compiled definition."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from apps.orchestration.definitions.contracts import (
    UNDO_CHILD,
    CompensationDefinition,
    Effect,
    InputDefinition,
    OutputDefinition,
    Problem,
    RetryRule,
    StepDefinition,
    StepType,
    TriggerDefinition,
    WorkflowDefinition,
)
from apps.orchestration.definitions.language.checks import check_meaning
from apps.orchestration.definitions.language.schema import check_schema
from apps.orchestration.definitions.language.source import Source, SourceError, read_source
from apps.orchestration.definitions.language.triggers import implied_inputs
from apps.orchestration.tools.graphs import list_graphs
from apps.orchestration.tools.specs import STEP_TYPES, TOOLS, ToolSpec

DEFAULT_RETRY = RetryRule(max_attempts=3)
ONCE = RetryRule(max_attempts=1)


class InvalidWorkflow(Exception):
    """A source with problems; carries them in the order of their lines."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(problems, key=lambda p: (p.line, p.column))
        super().__init__(f"line {self.problems[0].line}: {self.problems[0].message}")


def source_hash(source: str) -> str:
    """Name a source by its content."""
    return hashlib.sha256(source.encode()).hexdigest()


def find_problems(source: str) -> list[Problem]:
    """Check a source completely; an empty list means that it can be published."""
    try:
        compile_workflow(source)
    except InvalidWorkflow as error:
        return error.problems
    return []


@lru_cache(maxsize=32)  # the shipped ones are compiled again and again, for every new tenant
def compile_workflow(source: str) -> WorkflowDefinition:
    """Compile a source; raises InvalidWorkflow."""
    try:
        read = read_source(source)
    except SourceError as error:
        raise InvalidWorkflow(list(error.problems)) from None
    # Meaning is only looked at once the shape is right: its messages would repeat the shape's.
    problems = check_schema(read) or check_meaning(read)
    if problems:
        raise InvalidWorkflow(problems)
    return _build(read, source_hash(source))


def _build(source: Source, digest: str) -> WorkflowDefinition:
    data = source.data
    retry, fallback = _error_handling(data)
    steps = tuple(_step(step, retry, fallback) for step in data["steps"])
    return WorkflowDefinition(
        name=data["name"],
        version=data["version"],
        hash=digest,
        description=data.get("description", ""),
        triggers=tuple(TriggerDefinition(**trigger) for trigger in data.get("triggers", [])),
        inputs=_inputs(data),
        steps=steps,
        compensation=_compensation(data),
        outputs=tuple(OutputDefinition(name, **spec) for name, spec in data.get("outputs", {}).items()),
    )


def _error_handling(data: Mapping[str, Any]) -> tuple[RetryRule, str]:
    retry, fallback = DEFAULT_RETRY, ""
    for rule in data.get("error_handling", []):
        if rule["type"] == "retry":
            retry = _retry(rule, DEFAULT_RETRY)
        else:
            fallback = rule["action"]
    return retry, fallback


def _retry(rule: Mapping[str, Any], base: RetryRule) -> RetryRule:
    given = {key: rule.get(key, getattr(base, key)) for key in base.__dataclass_fields__}
    return RetryRule(**given)


def spec_of(step: Mapping[str, Any]) -> ToolSpec:
    """Find the contract of a step: its tool's, or its type's."""
    return TOOLS[step["tool"]] if step["type"] == StepType.TOOL else STEP_TYPES[step["type"]]


def _step(step: Mapping[str, Any], retry: RetryRule, fallback: str) -> StepDefinition:
    spec = spec_of(step)
    return StepDefinition(
        id=step["id"],
        type=StepType(step["type"]),
        effect=_effect(step, spec),
        tool=step.get("tool", ""),
        model=step.get("model", ""),
        condition=step.get("condition", ""),
        config=step.get("config", {}),
        retry=_retry(step.get("retry", {}), _default_retry(step, retry)),
        fallback=step.get("fallback", fallback),
        timeout_s=step.get("timeout_s"),
        outputs={name: kind.zero() for name, kind in spec.outputs.items()},
        workflow=step.get("workflow", ""),
        timeout=step.get("timeout", ""),
        graph=step.get("graph", ""),
    )


def _effect(step: Mapping[str, Any], spec: ToolSpec) -> Effect:
    return list_graphs()[step["graph"]].effect if step["type"] == StepType.LANGGRAPH else spec.effect


def _default_retry(step: Mapping[str, Any], retry: RetryRule) -> RetryRule:
    """Return the workflow's rule, but for what is only begun anew where its own step asks for that.

    A run has retried its own steps already, and a graph that failed may have taken effect in parts.
    """
    is_whole = step["type"] == StepType.SUBWORKFLOW or (
        step["type"] == StepType.LANGGRAPH and not list_graphs()[step["graph"]].is_idempotent
    )
    return ONCE if is_whole and "retry" not in step else retry


def _inputs(data: Mapping[str, Any]) -> tuple[InputDefinition, ...]:
    declared = [_input(name, spec) for name, spec in data.get("inputs", {}).items()]
    given = implied_inputs(data).items()
    return (*declared, *(InputDefinition(name, kind, default=default) for name, (kind, default) in given))


def _input(name: str, spec: Mapping[str, Any]) -> InputDefinition:
    return InputDefinition(
        name, spec["type"], spec.get("required", False), spec.get("default"), spec.get("description", "")
    )


def _compensation(data: Mapping[str, Any]) -> dict[str, CompensationDefinition]:
    listed = [(entry["step"], entry) for entry in data.get("compensation", [])]
    own = [(step["id"], step["compensation"]) for step in data["steps"] if "compensation" in step]
    declared = {
        step: CompensationDefinition(
            step, entry["action"], TOOLS[entry["action"]].effect, entry.get("config", {})
        )
        for step, entry in listed + own
    }
    children = [step["id"] for step in data["steps"] if step["type"] == StepType.SUBWORKFLOW]
    by_default = {step: CompensationDefinition(step, UNDO_CHILD, Effect.TRANSACTIONAL) for step in children}
    return by_default | declared
