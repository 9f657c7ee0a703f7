"""What a shape alone cannot tell: names that must exist, types that must fit."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jsonschema import Draft202012Validator

from apps.orchestration.definitions.contracts import Problem
from apps.orchestration.definitions.durations import DURATION, duration_s
from apps.orchestration.definitions.language import types as t
from apps.orchestration.definitions.language.children import check_subworkflow
from apps.orchestration.definitions.language.expressions import Hole, compile_expression, parse_text
from apps.orchestration.definitions.language.flow_checks import check_flow
from apps.orchestration.definitions.language.graphs import check_langgraph
from apps.orchestration.definitions.language.nesting import (
    Step,
    each_place,
    each_step,
    sequences_in,
    transitions_of,
)
from apps.orchestration.definitions.language.rubrics import check_judge
from apps.orchestration.definitions.language.schema import schema_problems
from apps.orchestration.definitions.language.source import Path, Source
from apps.orchestration.definitions.language.triggers import check_triggers, implied_inputs
from apps.orchestration.definitions.language.typecheck import ExpressionError, infer, suggestion
from apps.orchestration.definitions.language.types import Type
from apps.orchestration.tools.specs import STEP_TYPES, TOOLS, ToolSpec

Variables = dict[str, Type]
# Every run started by a message has these inputs, whether the workflow declares them or not.
MESSAGE_INPUTS = {
    "text": t.STRING, "channel": t.STRING, "customer_id": t.STRING, "conversation_id": t.STRING,
    "message_id": t.STRING,
}  # fmt: skip
_FITS = {
    "string": {"string"},
    "integer": {"int"},
    "number": {"int", "double"},
    "boolean": {"bool"},
    "object": {"map"},
    "array": {"list"},
}


def check_meaning(source: Source) -> list[Problem]:
    """Check a source whose shape is right; returns its problems."""
    return [
        *_check_inputs(source),
        *check_triggers(source),
        *_check_whole_timeout(source),
        *_check_steps(source),
        *_check_compensation(source),
        *_check_error_handling(source),
        *_check_outputs(source),
    ]


def _check_whole_timeout(source: Source) -> Iterator[Problem]:
    if "timeout" in source.data:
        yield from _check_duration(source, ("timeout",), source.data["timeout"])


def _check_duration(source: Source, path: Path, text: Any) -> Iterator[Problem]:
    if isinstance(text, str) and DURATION.fullmatch(text):
        try:
            duration_s(text)
        except ValueError as error:
            yield source.problem(path, str(error), "write a shorter one")


def _check_inputs(source: Source) -> Iterator[Problem]:
    for name, spec in source.data.get("inputs", {}).items():
        default = spec.get("default")
        if default is not None and not t.fits(default, spec["type"]):
            yield source.problem(
                ("inputs", name, "default"), f"the default is not a {spec['type']}", f"write a {spec['type']}"
            )


def initial_variables(data: Mapping[str, Any]) -> Variables:
    """List what conditions may read before the first step."""
    declared = {name: t.named(spec["type"]) for name, spec in data.get("inputs", {}).items()}
    declared |= {name: t.named(kind) for name, (kind, _) in implied_inputs(data).items()}
    return {
        "text": t.STRING,
        "channel": t.STRING,
        "input": t.record(**{**MESSAGE_INPUTS, **declared}),
        "settings": t.ANY_MAP,
        "steps": t.record(),
    }


@dataclass
class _Known:
    """What was learned on the way through the steps: their ids, and what is known after each."""

    seen: set[str] = field(default_factory=set)
    after: dict[str, Variables] = field(default_factory=dict)


def _check_steps(source: Source) -> Iterator[Problem]:
    yield from check_flow(source)
    steps, known = source.data["steps"], _Known()
    variables = initial_variables(source.data)
    if any("next" in step for step in steps):
        # A run may come from any step to any other: what did not happen yet reads as nothing.
        variables = _after_all(source, steps, variables)
    yield from _check_sequence(source, ("steps",), steps, variables, known)
    yield from _check_undoing(source, known)


def _check_sequence(
    source: Source, base: Path, steps: Sequence[Step], variables: Variables, known: _Known
) -> Generator[Problem, None, Variables]:
    """Check steps that follow each other; returns what may be read after the last one."""
    for index, step in enumerate(steps):
        path: Path = (*base, index)
        if step["id"] in known.seen:
            yield source.problem((*path, "id"), f"there are two steps `{step['id']}`", "rename one of them")
        known.seen.add(step["id"])
        if "condition" in step:
            yield from _check_condition(source, (*path, "condition"), step["condition"], variables)
        spec = _spec(source, step)
        yield from _check_step_fields(source, path, step)
        if spec is None:
            continue
        yield from _check_config(source, (*path, "config"), step.get("config", {}), spec, variables)
        variables = yield from _check_inside(source, path, step, variables, known)
        known.after[step["id"]] = variables = _after(source, variables, step, spec)
        for at, entry in enumerate(transitions_of(step)):
            if "when" in entry:
                yield from _check_condition(source, (*path, "next", at, "when"), entry["when"], variables)
    return variables


def _check_inside(
    source: Source, path: Path, step: Step, variables: Variables, known: _Known
) -> Generator[Problem, None, Variables]:
    """Check the steps inside of a step; of a loop's nothing can be read outside of it but its results."""
    inside = variables
    if step["type"] == "foreach":
        inside = {**variables, "item": _item_type(step, variables), "index": t.INT}
    after = variables
    for base, steps in sequences_in(step, path):
        left = yield from _check_sequence(source, base, steps, inside, known)
        if step["type"] == "parallel":
            fields = {**after["steps"].fields, **left["steps"].fields}
            after = {**left, **after, "steps": t.record(**fields)}
    return after


def _item_type(step: Step, variables: Variables) -> Type:
    text = step.get("config", {}).get("items")
    try:
        parts = parse_text(text) if isinstance(text, str) else ()
        if len(parts) == 1 and isinstance(parts[0], Hole):
            return infer(parts[0].expression, variables).item or t.DYN
    except ExpressionError:
        pass  # it is told where the config is checked
    return t.DYN


def _after_all(source: Source, steps: Sequence[Step], variables: Variables) -> Variables:
    for step in steps:
        for branch in step.get("branches", []):
            variables = _after_all(source, branch["steps"], variables)
        spec = _spec(source, step)
        variables = variables if spec is None else _after(source, variables, step, spec)
    return variables


def _check_undoing(source: Source, known: _Known) -> Iterator[Problem]:
    """Check what undoings read: what was known once their step was done."""
    listed = [
        (("compensation", index), entry["step"], entry)
        for index, entry in enumerate(source.data.get("compensation", []))
    ]
    own = [
        ((*path, "compensation"), step["id"], step["compensation"])
        for path, step, _ in each_place(source.data["steps"])
        if "compensation" in step
    ]
    for path, step_id, entry in listed + own:
        for inner, text in _texts(entry.get("config", {}), (*path, "config")):
            if step_id in known.after:
                yield from _check_text(source, inner, text, set(), known.after[step_id])


def _spec(source: Source, step: Step) -> ToolSpec | None:
    if step.get("workflow") in source.children:
        return source.children[step["workflow"]]
    return TOOLS.get(step.get("tool", "")) if step["type"] == "tool" else STEP_TYPES[step["type"]]


def _check_step_fields(source: Source, path: Path, step: Mapping[str, Any]) -> Iterator[Problem]:
    if step["type"] == "tool" and "tool" not in step:
        yield source.problem(path, "a tool step needs `tool`", f"name one of: {', '.join(sorted(TOOLS))}")
    elif step["type"] == "tool" and step["tool"] not in TOOLS:
        fix = suggestion(step["tool"], TOOLS)
        yield source.problem((*path, "tool"), f"there is no tool `{step['tool']}`", fix)
    elif step["type"] != "tool" and "tool" in step:
        yield source.problem(
            (*path, "tool"), f"a {step['type']} step has no tool", "remove the line", at_key=True
        )
    if step["type"] == "wait":
        yield from _check_wait(source, path, step.get("config", {}))
    yield from check_subworkflow(source, path, step)
    yield from check_langgraph(source, path, step)
    if step["type"] == "judge":
        yield from check_judge(source, path, step)
    if "model" in step and step["type"] != "llm":
        yield source.problem(
            (*path, "model"), f"a {step['type']} step has no model", "remove it", at_key=True
        )
    for key, name in (
        ("fallback", step.get("fallback")),
        ("compensation", step.get("compensation", {}).get("action")),
    ):
        if name is not None:
            where = (*path, key) if key == "fallback" else (*path, key, "action")
            yield from _check_action(source, where, name)


def _check_wait(source: Source, path: Path, config: Mapping[str, Any]) -> Iterator[Problem]:
    kinds = [name for name in ("for", "signal", "approval") if name in config]
    if len(kinds) != 1:
        message = "a wait step waits for one thing"
        yield source.problem(path, message, "give one of `for`, `signal`, `approval` in its config")
    elif "for" in kinds and "timeout" in config:
        where = (*path, "config", "timeout")
        yield source.problem(where, "`for` is over after its time anyway", "remove the line", at_key=True)
    for name in ("for", "timeout"):
        yield from _check_duration(source, (*path, "config", name), config.get(name))


def _after(source: Source, variables: Variables, step: Step, spec: ToolSpec) -> Variables:
    outputs = t.record(**{**spec.outputs, **_results(source, step), "state": t.STRING})
    steps = t.record(**{**variables["steps"].fields, step["id"]: outputs})
    known = {**variables, "steps": steps}
    if step["type"] == "router":
        known |= {name: spec.outputs[name] for name in ("intent", "confidence", "tier")}
    return known


def _results(source: Source, step: Step) -> dict[str, Type]:
    """Return the type of a loop's results: what the last of its steps gives, for each item."""
    last = _spec(source, step["steps"][-1]) if "steps" in step else None
    if last is None:
        return {}
    fields = {**last.outputs, **_results(source, step["steps"][-1]), "state": t.STRING}
    return {"results": t.list_of(t.record(**fields))}


def _check_condition(source: Source, path: Path, text: str, variables: Variables) -> Iterator[Problem]:
    try:
        compile_expression(text)
        found = infer(text, variables)
        if found.name not in ("bool", "dyn"):
            raise ExpressionError(
                f"a condition must be true or false; this is a {found}", "compare it with ==", 0
            )
    except ExpressionError as error:
        yield source.problem(path, error.message, error.fix, offset=error.offset)


def _check_config(
    source: Source, path: Path, config: Mapping[str, Any], spec: ToolSpec, variables: Variables
) -> Iterator[Problem]:
    for error in Draft202012Validator(spec.arguments).iter_errors(config):
        if not (isinstance(error.instance, str) and "${" in error.instance):
            yield from schema_problems(source, error, path)
    for inner, text in _texts(config, path):
        yield from _check_text(source, inner, text, _wanted(spec.arguments, inner[len(path) :]), variables)


def _texts(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, (*path, index))
    elif isinstance(value, str) and "${" in value:
        yield path, value


def _wanted(schema: Mapping[str, Any], path: Path) -> set[str]:
    if len(path) != 1:
        return set()
    kind = schema["properties"].get(path[0], {}).get("type")
    return _FITS.get(kind, set())


def _check_text(
    source: Source, path: Path, text: str, wanted: set[str], variables: Variables
) -> Iterator[Problem]:
    try:
        parts = parse_text(text)
    except ExpressionError as error:
        yield source.problem(path, error.message, error.fix, offset=error.offset)
        return
    for part in parts:
        if not isinstance(part, Hole):
            continue
        try:
            compile_expression(part.expression)
            found = infer(part.expression, variables)
            if len(parts) == 1 and wanted and found.name not in wanted | {"dyn"}:
                expected = " or ".join(sorted(wanted))
                raise ExpressionError(f"this is a {found}, not a {expected}", "convert it", 0)
        except ExpressionError as error:
            yield source.problem(path, error.message, error.fix, offset=part.offset + error.offset)


def _check_outputs(source: Source) -> Iterator[Problem]:
    """Check what a run gives against all of its steps; settings may be secret and are never given."""
    if "outputs" not in source.data:
        return
    variables = initial_variables(source.data)
    del variables["settings"]
    variables = _after_all(source, source.data["steps"], variables)
    for name, spec in source.data["outputs"].items():
        path: Path = ("outputs", name, "value")
        kind, value = spec["type"], spec["value"]
        is_hole = isinstance(value, str) and value.startswith("${") and value.endswith("}")
        if not (is_hole and value.count("${") == 1) and not t.fits(value, kind):
            yield source.problem(
                path, f"this is not a {kind}", f'write a {kind}, or one "${{…}}" that is one'
            )
            continue
        for inner, text in _texts(value, path):
            wanted = {kind, "int"} if kind == "double" else {kind}
            yield from _check_text(source, inner, text, wanted if inner == path else set(), variables)


def _check_compensation(source: Source) -> Iterator[Problem]:
    steps = {step["id"]: step for step in each_step(source.data["steps"])}
    undone = {name for name, step in steps.items() if "compensation" in step}
    for index, entry in enumerate(source.data.get("compensation", [])):
        path: Path = ("compensation", index)
        if entry["step"] not in steps:
            fix = suggestion(entry["step"], list(steps))
            yield source.problem((*path, "step"), f"there is no step `{entry['step']}`", fix)
        elif entry["step"] in undone:
            message = f"`{entry['step']}` has a compensation already"
            yield source.problem((*path, "step"), message, "keep one of the two")
        undone.add(entry["step"])
        yield from _check_action(source, (*path, "action"), entry["action"])


def _check_error_handling(source: Source) -> Iterator[Problem]:
    kinds: list[str] = []
    for index, rule in enumerate(source.data.get("error_handling", [])):
        path: Path = ("error_handling", index)
        if rule["type"] in kinds:
            yield source.problem(path, f"there are two {rule['type']} rules", "keep one of them")
        kinds.append(rule["type"])
        if rule["type"] == "fallback" and "action" not in rule:
            yield source.problem(path, "a fallback needs `action`", "add a line: action: generic_response")
        elif "action" in rule:
            yield from _check_action(source, (*path, "action"), rule["action"])


def _check_action(source: Source, path: Path, name: str) -> Iterator[Problem]:
    actions = sorted(name for name, spec in TOOLS.items() if spec.is_action)
    if name not in actions:
        yield source.problem(path, f"there is no action `{name}`", suggestion(name, actions))
