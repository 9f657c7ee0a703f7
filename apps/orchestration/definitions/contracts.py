"""Workflow definitions as they leave this app; no framework."""

from __future__ import annotations

import datetime as dt
import enum
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from uuid import UUID

from apps.orchestration.contracts import Priority

UNDO_CHILD = "undo_subworkflow"  # how a subworkflow step is undone: its own run is, in its own order
HOOK_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


@dataclass(frozen=True)
class Problem:
    """What is wrong at one place of a workflow's source, and what to do about it."""

    line: int
    column: int
    path: str
    message: str
    fix: str


class StepType(enum.StrEnum):
    ROUTER = "router"
    TOOL = "tool"
    LLM = "llm"
    ESCALATION = "escalation"
    WAIT = "wait"
    PARALLEL = "parallel"
    FOREACH = "foreach"
    SUBWORKFLOW = "subworkflow"
    JUDGE = "judge"
    LANGGRAPH = "langgraph"


# Steps that do nothing by themselves: they hold others.
CONTAINERS = frozenset({StepType.PARALLEL, StepType.FOREACH})
DEFAULT_MAX_ITEMS, MOST_ITEMS = 100, 1000
END = "end"  # where a transition leads that ends the run well


class Effect(enum.StrEnum):
    """What happens when a step is executed again after a crash swallowed its outcome.

    NONE only reads. TRANSACTIONAL writes in the same transaction as the step's result, so there is no
    "again". IDEMPOTENT may be repeated with the same key. LOOKUP can be asked whether it happened.
    NEITHER is left to a human.
    """

    NONE = "none"
    TRANSACTIONAL = "transactional"
    IDEMPOTENT = "idempotent"
    LOOKUP = "lookup"
    NEITHER = "neither"


@dataclass(frozen=True)
class RetryRule:
    """How often and when a failed step is tried again; delays grow by `backoff_factor`."""

    max_attempts: int = 1
    backoff_factor: float = 2.0
    initial_delay_s: float = 0.5
    max_delay_s: float = 300.0

    def delay_s(self, attempt: int) -> float:
        """Tell the seconds to wait after attempt number `attempt` (the first is 1)."""
        return min(self.initial_delay_s * self.backoff_factor ** min(attempt - 1, 60), self.max_delay_s)


@dataclass(frozen=True)
class CompensationDefinition:
    """How a completed step is undone."""

    step: str
    action: str
    effect: Effect
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TransitionDefinition:
    """Where a run goes after a step, to a step or to `end`; `when` is CEL, and always where it is empty."""

    to: str
    when: str = ""


@dataclass(frozen=True)
class BranchDefinition:
    """Steps that run one after another beside the other branches of their `parallel` step."""

    id: str
    steps: tuple[StepDefinition, ...]


@dataclass(frozen=True)
class StepDefinition:
    """One step; `condition` is CEL, `config` may hold `${CEL}` in its texts.

    A `parallel` step has `branches`, a `foreach` step a `body`. `next` says where the run goes after it, if
    not to the step below; a step that is come back to is executed at most `max_visits` times.
    """

    id: str
    type: StepType
    effect: Effect
    tool: str = ""
    model: str = ""
    condition: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    retry: RetryRule = RetryRule()
    fallback: str = ""
    timeout_s: float | None = None
    outputs: Mapping[str, Any] = field(default_factory=dict)
    branches: tuple[BranchDefinition, ...] = ()
    body: tuple[StepDefinition, ...] = ()
    next: tuple[TransitionDefinition, ...] = ()
    max_visits: int = 10
    workflow: str = ""
    graph: str = ""

    @property
    def is_container(self) -> bool:
        """Tell whether it only holds other steps."""
        return self.type in CONTAINERS

    @property
    def inner(self) -> tuple[StepDefinition, ...]:
        """Return the steps directly inside."""
        return self.body or tuple(step for branch in self.branches for step in branch.steps)


def step_id_of(path: str) -> str:
    """Return the id of the step at a path of a run: `refund` of `each_order#2[3].refund`."""
    return path.partition("/")[0].rpartition(".")[2].partition("[")[0].partition("#")[0]


def hook_name(address: str) -> str:
    """Name the endpoint that a trigger's address means: `/webhook/x`, `/hooks/x`, `/x` and `x` all mean x.

    Any other address means none, so it is empty.
    """
    parts = [part for part in address.strip().lower().split("/") if part]
    if len(parts) == 2 and parts[0] in ("webhook", "hooks"):
        del parts[0]
    return parts[0] if len(parts) == 1 and HOOK_NAME.fullmatch(parts[0]) else ""


@dataclass(frozen=True)
class TriggerDefinition:
    """What starts a run."""

    type: str
    event: str = ""
    endpoint: str = ""
    cron: str = ""
    timezone: str = ""
    every: str = ""
    workflow: str = ""

    @property
    def schedule(self) -> str:
        """Name the moments at which this starts runs; empty when it is no schedule."""
        if self.every:
            return f"every {self.every}"
        return f"cron {self.cron} {self.timezone or 'UTC'}" if self.cron else ""

    @property
    def hook(self) -> str:
        """Name the webhook endpoint that this listens to; empty when it is no webhook's trigger."""
        return hook_name(self.endpoint) if self.type == "webhook" else ""


@dataclass(frozen=True)
class InputDefinition:
    """One typed value that a run is started with."""

    name: str
    type: str
    is_required: bool = False
    default: Any = None
    description: str = ""


@dataclass(frozen=True)
class OutputDefinition:
    """One typed value that a completed run gives; `value` may hold `${CEL}` in its texts."""

    name: str
    type: str
    value: Any
    description: str = ""


@dataclass(frozen=True)
class WorkflowDefinition:
    """A compiled workflow; immutable, known by the hash of its source."""

    name: str
    version: str
    hash: str
    description: str
    triggers: tuple[TriggerDefinition, ...]
    inputs: tuple[InputDefinition, ...]
    steps: tuple[StepDefinition, ...]
    compensation: Mapping[str, CompensationDefinition]
    timeout_s: float | None = None
    priority: Priority | None = None  # None: a message's runs are high, all others normal
    outputs: tuple[OutputDefinition, ...] = ()

    def step(self, path: str) -> StepDefinition:
        """Find a step by its id, or by a path of a run that ends at it; raises KeyError."""
        return self._by_id.get(path) or self._by_id[step_id_of(path)]

    @cached_property
    def all_steps(self) -> tuple[StepDefinition, ...]:
        """Return every step, those inside of others right after these."""
        return tuple(_flatten(self.steps))

    @cached_property
    def outer_steps(self) -> tuple[StepDefinition, ...]:
        """Return the steps that any other may read: all but those inside of a loop."""
        return tuple(_flatten(self.steps, with_loops=False))

    @cached_property
    def is_linear(self) -> bool:
        """Tell whether its steps simply follow each other, so that a step's path is its id."""
        return not any(step.is_container or step.next for step in self.steps)

    @cached_property
    def has_transitions(self) -> bool:
        """Tell whether a run may go elsewhere than to the step below."""
        return any(step.next for step in self.steps)

    def position_of(self, step_id: str) -> int:
        """Tell which of the outer steps this is, from 0; raises KeyError."""
        return self._positions[step_id]

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {step.id: position for position, step in enumerate(self.steps)}

    @cached_property
    def _by_id(self) -> dict[str, StepDefinition]:
        return {step.id: step for step in self.all_steps}

    @property
    def children(self) -> tuple[str, ...]:
        """Name the workflows that steps run."""
        return tuple(step.workflow for step in self.all_steps if step.type is StepType.SUBWORKFLOW)

    @property
    def signals(self) -> tuple[str, ...]:
        """Name the signals that steps wait for."""
        return tuple(
            str(step.config["signal"])
            for step in self.all_steps
            if step.type is StepType.WAIT and "signal" in step.config
        )

    def is_triggered_by(self, kind: str, event: str = "") -> bool:
        """Tell whether such a trigger is declared."""
        return any(t.type == kind and event in ("", t.event) for t in self.triggers)


def _flatten(steps: tuple[StepDefinition, ...], *, with_loops: bool = True) -> Iterator[StepDefinition]:
    for step in steps:
        yield step
        if with_loops or not step.body:
            yield from _flatten(step.inner, with_loops=with_loops)


class VersionState(enum.StrEnum):
    DRAFT = "draft"
    PUBLISHED = "published"
    RETIRED = "retired"


@dataclass(frozen=True)
class VersionView:
    """One version of a workflow's source."""

    id: UUID
    workflow: str
    number: int
    version: str
    hash: str
    state: VersionState
    source: str
    created_at: dt.datetime
    published_at: dt.datetime | None


@dataclass(frozen=True)
class WorkflowView:
    """A workflow with its published and its draft version's numbers, if any."""

    id: UUID
    name: str
    description: str
    triggers: tuple[TriggerDefinition, ...]
    published: VersionView | None
    draft: VersionView | None
    created_at: dt.datetime
    updated_at: dt.datetime
