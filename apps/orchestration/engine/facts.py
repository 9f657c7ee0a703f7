"""What can happen to a run, and how it stands."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from apps.orchestration.contracts import RunStatus, StepStatus

# Why an ended run is undone: a person asked for it, or for doing it again from a step on.
REQUESTED, REWIND = "requested", "rewind"


class Kind(enum.StrEnum):
    """What can happen to a run."""

    RUN_STARTED = "run_started"
    STEP_SKIPPED = "step_skipped"
    STEP_INTENDED = "step_intended"
    STEP_COMPLETED = "step_completed"
    STEP_FAILED = "step_failed"
    STEP_OPENED = "step_opened"
    STEP_WAITING = "step_waiting"
    STEP_UNKNOWN = "step_unknown"
    STEP_RESOLVED = "step_resolved"
    TRANSITIONED = "transitioned"
    RUN_SLEPT = "run_slept"
    RUN_TIMED_OUT = "run_timed_out"
    FALLBACK_COMPLETED = "fallback_completed"
    FALLBACK_FAILED = "fallback_failed"
    CANCEL_REQUESTED = "cancel_requested"
    PAUSED = "paused"
    RESUMED = "resumed"
    COMPENSATION_STARTED = "compensation_started"
    UNDO_INTENDED = "undo_intended"
    STEP_UNDONE = "step_undone"
    UNDO_FAILED = "undo_failed"
    RETRY_REQUESTED = "retry_requested"
    REWOUND = "rewound"
    RUN_ENDED = "run_ended"


@dataclass(frozen=True)
class Fact:
    """One thing that happened to a run; `data` is plain."""

    kind: Kind
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Undo:
    """How the undoing of a step stands."""

    action: str = ""
    attempt: int = 0
    is_intended: bool = False
    is_final: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)
    output: Mapping[str, Any] | None = None
    error: str = ""
    retry_in_s: float = 0.0


@dataclass(frozen=True)
class StepState:
    """How a step stands; `is_open` marks one that holds others, and `reason` says why one was left out."""

    status: StepStatus = StepStatus.PENDING
    attempt: int = 0
    arguments: Mapping[str, Any] = field(default_factory=dict)
    output: Mapping[str, Any] | None = None
    error: str = ""
    retry_in_s: float = 0.0
    duration_ms: int | None = None
    condition: Mapping[str, Any] | None = None
    undo: Undo = Undo()
    awaited: Mapping[str, Any] | None = None
    is_open: bool = False
    reason: str = ""


_UNTOUCHED = StepState()


@dataclass(frozen=True)
class RunState:
    """Everything a decision needs.

    Steps are known by their paths: the id of one that is executed once, `ask#2` at the second visit,
    `each[3].refund` in a loop. `done` lists completed steps in the order of their completion, `failed` those
    that failed for good, `transitions` where the run went after a step. `rewind_from` is the step from which
    on is undone, where that is not all. `generations` counts by step how often it was done before its present
    turn; its effect has another key each time. `is_silent`: a run that had answered does not answer again.
    """

    status: RunStatus = RunStatus.RUNNING
    input: Mapping[str, Any] = field(default_factory=dict)
    steps: Mapping[str, StepState] = field(default_factory=dict)
    done: tuple[str, ...] = ()
    failed_step: str = ""
    error: str = ""
    fallback: Mapping[str, Any] | None = None
    has_fallback_failed: bool = False
    is_cancelling: bool = False
    compensating_because: str = ""
    retries: int = 0
    failed: tuple[str, ...] = ()
    transitions: Mapping[str, str] = field(default_factory=dict)
    is_timed_out: bool = False
    paused_from: RunStatus | None = None
    rewind_from: str = ""
    generations: Mapping[str, int] = field(default_factory=dict)
    has_answered: bool = False
    is_silent: bool = False

    def step(self, path: str) -> StepState:
        """Return how a step stands; one that nothing happened to is pending."""
        return self.steps.get(path, _UNTOUCHED)

    @property
    def under_way(self) -> tuple[str, ...]:
        """Return the steps that have begun and of which no result is known."""
        running = StepStatus.RUNNING
        return tuple(path for path, step in self.steps.items() if step.status is running and not step.is_open)

    def steps_since(self, step_id: str) -> list[str]:
        """Name this step and all that began after it, in that order; all steps for an empty name."""
        names = list(self.steps)
        return names[names.index(step_id) :] if step_id else names

    @property
    def is_at_rest(self) -> bool:
        """Tell whether nothing happens until somebody asks for it."""
        return self.status.is_end or self.status in (RunStatus.WAITING, RunStatus.PAUSED)

    @property
    def is_undone_on_request(self) -> bool:
        """Tell whether the run had ended before somebody asked to undo it."""
        return self.compensating_because in (REQUESTED, REWIND)
