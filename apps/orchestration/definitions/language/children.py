"""Workflows that run others: what a step may name, and give to it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from apps.orchestration.definitions.contracts import Problem, WorkflowDefinition
from apps.orchestration.definitions.language import types as t
from apps.orchestration.definitions.language.source import Path, Source
from apps.orchestration.definitions.language.typecheck import suggestion
from apps.orchestration.tools.specs import STEP_TYPES, ToolSpec

MAX_DEPTH = 5  # runs above a run
_JSON_TYPES = {
    "string": "string", "int": "integer", "double": "number", "bool": "boolean", "list": "array",
    "map": "object",
}  # fmt: skip
# What a child gets from its parent's message unless it is given something else.
INHERITED = ("text", "channel", "customer_id", "conversation_id", "message_id")


def contract_of(child: WorkflowDefinition) -> ToolSpec:
    """Tell what a step that runs this workflow takes and gives."""
    declared = {known.name: {"type": _JSON_TYPES[known.type]} for known in child.inputs}
    own = STEP_TYPES["subworkflow"]
    return ToolSpec(
        name=child.name,
        summary=child.description,
        effect=own.effect,
        arguments={
            "type": "object",
            "properties": {**{name: {"type": "string"} for name in INHERITED}, **declared},
            "required": [known.name for known in child.inputs if known.is_required],
            "additionalProperties": False,
        },
        outputs={**own.outputs, "outputs": t.record(**{o.name: t.named(o.type) for o in child.outputs})},
    )


def check_subworkflow(source: Source, path: Path, step: Mapping[str, Any]) -> Iterator[Problem]:
    """Check what needs no other workflow to be known."""
    if step["type"] != "subworkflow":
        if "workflow" in step:
            message = f"a {step['type']} step has no `workflow`"
            yield source.problem((*path, "workflow"), message, "remove the line", at_key=True)
        return
    if "workflow" not in step:
        fix = "name a published workflow: workflow: …"
        yield source.problem(path, "a subworkflow step needs `workflow`", fix)
    elif step["workflow"] == source.data["name"]:
        yield source.problem((*path, "workflow"), "a workflow cannot run itself", "name another one")


def find_subworkflows(value: Any, path: Path = ()) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Yield every step that runs a workflow, however deep it stands, with its path."""
    if isinstance(value, Mapping):
        if value.get("type") == "subworkflow" and "workflow" in value:
            yield path, value
        for key, item in value.items():
            yield from find_subworkflows(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from find_subworkflows(item, (*path, index))


def check_children(
    source: Source, published: Mapping[str, WorkflowDefinition], drafts: Collection[str]
) -> Iterator[Problem]:
    """Check that what steps run is there, and leads neither back here nor too deep."""
    own = source.data["name"]
    for path, step in find_subworkflows(source.data["steps"], ("steps",)):
        name, where = step["workflow"], (*path, "workflow")
        if name not in published:
            message = f"there is no workflow `{name}`"
            fix = suggestion(name, [other for other in (*published, *drafts) if other != own])
            if name in drafts:
                message, fix = f"the workflow `{name}` is not published yet", "publish it first"
            yield source.problem(where, message, fix)
            continue
        way = _longest_way(name, own, published)
        if own in way:
            told = " → ".join((own, *way))
            yield source.problem(where, f"this workflow would run itself: {told}", "break the circle")
        elif len(way) > MAX_DEPTH:
            message = f"workflows would run each other more than {MAX_DEPTH} deep: {' → '.join(way)}"
            yield source.problem(where, message, "bring some of them together")


def _longest_way(
    name: str, own: str, published: Mapping[str, WorkflowDefinition], above: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """Follow the workflows that run each other; one that leads back to `own` counts before any other."""
    way = (*above, name)
    if name == own or name in above or name not in published or len(way) > MAX_DEPTH:
        return way
    ways = [_longest_way(child, own, published, way) for child in published[name].children]
    return max(ways, key=lambda found: (own in found, len(found)), default=way)
