"""LangGraph step: runs a compiled graph to its end, as one step.

Its checkpoints are not the run's durability: the step's intent and its effect key are, which the graph
gets as `configurable.effect_key` and as the id of its thread.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import threading
from typing import Any

from django.db import connections

from apps.orchestration.steps.context import OutcomeUnknown, Output, StepContext, StepFailed
from apps.orchestration.tools.graphs import GraphMissing, load_graph
from apps.tenants.context import release_connection

TIMEOUT_S = 60.0
MAX_RESULT = 256 * 1024


class _Work(threading.Thread):
    """A graph on a thread of its own, which may be left behind when its time is over."""

    def __init__(
        self, compiled: Any, given: dict[str, Any], config: dict[str, Any], timeout_s: float
    ) -> None:
        super().__init__(name="langgraph", daemon=True)
        self._compiled, self._given, self._config = compiled, given, config
        self._timeout_s = timeout_s
        self.result: Any = None
        self.error: Exception | None = None

    def run(self) -> None:
        # In no tenant's context: what the graph is to know, its input tells it.
        contextvars.Context().run(self._run)

    def _run(self) -> None:
        try:
            self.result = asyncio.run(self._await())
        except Exception as error:
            self.error = error
        finally:
            connections.close_all()

    async def _await(self) -> Any:
        return await asyncio.wait_for(self._compiled.ainvoke(self._given, self._config), self._timeout_s)


def run_graph(context: StepContext) -> Output:
    """Run the graph; its final state is the output.

    When its time is over it may still be at work: where it may not be repeated, its outcome is unknown.
    """
    try:
        graph, compiled = load_graph(context.graph)
    except GraphMissing as error:
        raise StepFailed(str(error), is_retryable=False) from None
    timeout_s = context.timeout_s or TIMEOUT_S
    release_connection()
    work = _Work(compiled, dict(context.arguments), _config(context), timeout_s)
    work.start()
    work.join(timeout_s + 1)
    if work.is_alive() or isinstance(work.error, TimeoutError):
        message = f"the graph {graph.name} did not end within {timeout_s:g} s"
        raise StepFailed(message) if graph.is_idempotent else OutcomeUnknown(message)
    if work.error is not None:
        raise StepFailed(f"{type(work.error).__name__}: {work.error}"[:500])
    return {"result": _result(work.result)}


def _config(context: StepContext) -> dict[str, Any]:
    known = {"tenant_id": str(context.tenant.id), "run_id": str(context.run_id), "step": context.step_id}
    return {"configurable": {"thread_id": context.effect_key, "effect_key": context.effect_key, **known}}


def _result(state: Any) -> Any:
    if isinstance(state, dict) and "__interrupt__" in state:
        message = "the graph waits for a person: let a wait step ask for the approval before it"
        raise StepFailed(message, is_retryable=False)
    try:
        text = json.dumps(state, default=_dump, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise StepFailed(f"the graph's final state is no JSON: {error}", is_retryable=False) from None
    if len(text) > MAX_RESULT:
        message = f"the graph's final state is longer than {MAX_RESULT // 1024} KiB"
        raise StepFailed(message, is_retryable=False)
    return json.loads(text)


def _dump(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump()
    raise TypeError(f"{type(value).__name__} is not plain data")
