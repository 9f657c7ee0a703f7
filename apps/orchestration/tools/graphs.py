"""The LangGraph graphs that the operator lets workflows run; no name in a workflow is ever imported."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from apps.orchestration.definitions.contracts import Effect


class GraphMissing(Exception):
    """A graph that cannot be run here; the message says what to do."""


@dataclass(frozen=True)
class Graph:
    """A compiled graph by its dotted path; `is_idempotent`: its effects may be repeated with the same key."""

    name: str
    path: str
    is_idempotent: bool = False

    @property
    def effect(self) -> Effect:
        return Effect.IDEMPOTENT if self.is_idempotent else Effect.NEITHER


def list_graphs() -> dict[str, Graph]:
    """Return the graphs of LANGGRAPH_GRAPHS by name."""
    found: dict[str, Graph] = {}
    for name, given in settings.LANGGRAPH_GRAPHS.items():
        entry = {"path": given} if isinstance(given, str) else given
        found[name] = Graph(name, entry["path"], bool(entry.get("idempotent", False)))
    return found


def load_graph(name: str) -> tuple[Graph, Any]:
    """Return a graph and what it compiled to; raises GraphMissing."""
    graph = list_graphs().get(name)
    if graph is None:
        raise GraphMissing(f"the graph {name!r} is not among LANGGRAPH_GRAPHS of this installation")
    if find_spec("langgraph") is None:
        raise GraphMissing("LangGraph is not installed here: install the package langgraph")
    try:
        compiled = import_string(graph.path)
    except Exception as error:
        raise GraphMissing(f"{graph.path} cannot be loaded: {type(error).__name__}: {error}") from error
    if not hasattr(compiled, "ainvoke"):
        raise GraphMissing(f"{graph.path} is no compiled graph: call .compile() on it")
    return graph, compiled
