"""Graphs of langgraph steps: checked when a workflow is published."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from apps.orchestration.definitions.contracts import Problem
from apps.orchestration.definitions.language.source import Path, Source
from apps.orchestration.definitions.language.typecheck import suggestion
from apps.orchestration.tools.graphs import GraphMissing, list_graphs, load_graph


def check_langgraph(source: Source, path: Path, step: Mapping[str, Any]) -> Iterator[Problem]:
    """Check that the graph that a step names can be run here."""
    where = (*path, "graph")
    if step["type"] != "langgraph":
        if "graph" in step:
            message = f"a {step['type']} step has no `graph`"
            yield source.problem(where, message, "remove the line", at_key=True)
        return
    known = list_graphs()
    if "graph" not in step:
        fix = f"name one of: {', '.join(sorted(known))}" if known else "ask the operator for LANGGRAPH_GRAPHS"
        yield source.problem(path, "a langgraph step needs `graph`", fix)
    elif step["graph"] not in known:
        fix = suggestion(step["graph"], known) if known else "the operator names graphs in LANGGRAPH_GRAPHS"
        yield source.problem(where, f"there is no graph `{step['graph']}` here", fix)
    else:
        try:
            load_graph(step["graph"])
        except GraphMissing as error:
            yield source.problem(where, str(error), "ask the operator of this installation")
