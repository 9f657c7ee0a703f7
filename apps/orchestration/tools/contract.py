"""What a tool declares of itself, and where workflows find tools by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from apps.orchestration.definitions.contracts import Effect
from apps.orchestration.definitions.language.types import Type

Schema = Mapping[str, Any]
ANYTHING: Schema = {"type": "object"}


@dataclass(frozen=True)
class ToolSpec:
    """A tool's contract: JSON Schema of its arguments, types of its outputs, its promise on repetition.

    `is_action` marks what compensation and fallback may name; such a tool takes the arguments it
    misses from the outputs of the step that it undoes. `settings` is the JSON Schema of what a tenant may set
    it up with. Where the promise depends on what a step says, `effect_of` finds it from the step's config.
    `digest` names the contract of a tool of the tenant's own, which may change under a workflow.
    """

    name: str
    summary: str
    effect: Effect
    arguments: Schema
    outputs: Mapping[str, Type] = field(default_factory=dict)
    is_action: bool = False
    settings: Schema = field(default_factory=lambda: ANYTHING)
    effect_of: Callable[[Schema], Effect] | None = None
    digest: str = ""

    def effect_with(self, config: Schema) -> Effect:
        """Find what a step promises that is configured like this."""
        return self.effect_of(config) if self.effect_of else self.effect


def arguments(*required: str, **properties: Schema) -> Schema:
    """Write the JSON Schema of a tool's arguments."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


class ToolCatalogue(Mapping[str, ToolSpec]):
    """The tools that are built in and, inside `tools_of_tenant`, those that the tenant has brought along."""

    def __init__(self, built_in: Iterable[ToolSpec]) -> None:
        self._built_in = {spec.name: spec for spec in built_in}

    def __getitem__(self, name: str) -> ToolSpec:
        known = self._built_in.get(name)
        return known if known is not None else _brought.get()[name]

    def __iter__(self) -> Iterator[str]:
        yield from self._built_in
        yield from _brought.get()

    def __len__(self) -> int:
        return len(self._built_in) + len(_brought.get())


_brought: ContextVar[Mapping[str, ToolSpec]] = ContextVar("brought_tools", default={})  # noqa: B039 - never changed


@contextmanager
def tools_of_tenant(specs: Iterable[ToolSpec]) -> Iterator[None]:
    """Let what is compiled inside the block name these tools, too."""
    token = _brought.set({spec.name: spec for spec in specs})
    try:
        yield
    finally:
        _brought.reset(token)


def brought_tools() -> Mapping[str, ToolSpec]:
    """Return the tools that a tenant has brought along, where one's workflows are being compiled."""
    return _brought.get()
