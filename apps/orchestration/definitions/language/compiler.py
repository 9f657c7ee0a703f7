"""Source -> problems, or a compiled definition."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from apps.orchestration.contracts import Priority
from apps.orchestration.definitions.contracts import (
    UNDO_CHILD,
    BranchDefinition,
    CompensationDefinition,
    Effect,
    InputDefinition,
    OutputDefinition,
    Problem,
    RetryRule,
    StepDefinition,
    StepType,
    TransitionDefinition,
    TriggerDefinition,
    WorkflowDefinition,
)
from apps.orchestration.definitions.durations import duration_s
from apps.orchestration.definitions.language.checks import check_meaning
from apps.orchestration.definitions.language.nesting import each_step, transitions_of
from apps.orchestration.definitions.language.schema import check_schema
from apps.orchestration.definitions.language.source import Source, SourceError, read_source
from apps.orchestration.definitions.language.triggers import implied_inputs
from apps.orchestration.tools.contract import brought_tools
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


def compile_workflow(source: str) -> WorkflowDefinition:
    """Compile a source; raises InvalidWorkflow. Inside `tools_of_tenant` it may name that tenant's tools."""
    return _compile(source) if brought_tools() else _compile_built_in(source)


@lru_cache(maxsize=32)  # the shipped ones are compiled again and again, for every new tenant
def _compile_built_in(source: str) -> WorkflowDefinition:
    return _compile(source)


def _compile(source: str) -> WorkflowDefinition:
    try:
        read = read_source(source)
    except SourceError as error:
        raise InvalidWorkflow(list(error.problems)) from None
    # Meaning is only looked at once the shape is right: its messages would repeat the shape's.
    problems = check_schema(read) or check_meaning(read)
    if problems:
        raise InvalidWorkflow(problems)
    return _build(read, source_hash(source + _promises(read.data)))


def _promises(data: Mapping[str, Any]) -> str:
    """Name the contracts that a source relies on and that may change under it; a run keeps those it knew."""
    used = {step["tool"] for step in each_step(data["steps"]) if "tool" in step} & set(brought_tools())
    graphs = sorted({step["graph"] for step in each_step(data["steps"]) if "graph" in step})
    told = [f"\n# {name} {TOOLS[name].digest}" for name in sorted(used)]
    return "".join([*told, *(f"\n# graph {name} {list_graphs()[name].effect}" for name in graphs)])


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
        timeout_s=duration_s(data["timeout"]) if "timeout" in data else None,
        priority=Priority(data["priority"]) if "priority" in data else None,
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
        timeout_s=duration_s(step["timeout"]) if "timeout" in step else step.get("timeout_s"),
        outputs={name: kind.zero() for name, kind in spec.outputs.items()},
        branches=tuple(
            BranchDefinition(
                branch.get("id", f"branch_{number}"),
                tuple(_step(inner, retry, fallback) for inner in branch["steps"]),
            )
            for number, branch in enumerate(step.get("branches", []), start=1)
        ),
        body=tuple(_step(inner, retry, fallback) for inner in step.get("steps", [])),
        next=tuple(TransitionDefinition(**entry) for entry in transitions_of(step)),
        max_visits=step.get("max_visits", 10),
        workflow=step.get("workflow", ""),
        graph=step.get("graph", ""),
    )


def _effect(step: Mapping[str, Any], spec: ToolSpec) -> Effect:
    if step["type"] == StepType.LANGGRAPH:
        return list_graphs()[step["graph"]].effect
    return spec.effect_with(step.get("config", {}))


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
    own = [(step["id"], step["compensation"]) for step in each_step(data["steps"]) if "compensation" in step]
    declared = {
        step: CompensationDefinition(
            step,
            entry["action"],
            TOOLS[entry["action"]].effect_with(entry.get("config", {})),
            entry.get("config", {}),
        )
        for step, entry in listed + own
    }
    children = [step["id"] for step in each_step(data["steps"]) if step["type"] == StepType.SUBWORKFLOW]
    by_default = {step: CompensationDefinition(step, UNDO_CHILD, Effect.TRANSACTIONAL) for step in children}
    return by_default | declared
