"""What an engine can be told to do next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from apps.orchestration.contracts import RunStatus
from apps.orchestration.definitions.contracts import CompensationDefinition, StepDefinition
from apps.orchestration.engine.state import Fact


class _AtStep:
    """What is done at a step: at the one place where it is executed once, or at one of several."""

    step: StepDefinition
    place: str

    @property
    def path(self) -> str:
        """Name the effect within the run."""
        return self.place or self.step.id


@dataclass(frozen=True)
class Record:
    """Nothing is to be done but to take note of a fact that follows from what is known."""

    fact: Fact


@dataclass(frozen=True)
class Execute(_AtStep):
    """Execute a step. A repeat's intent is recorded already, with these very arguments."""

    step: StepDefinition
    attempt: int
    arguments: Mapping[str, Any]
    variables: Mapping[str, Any]
    condition: Mapping[str, Any] | None = None
    is_repeat: bool = False
    delay_s: float = 0.0
    place: str = ""


@dataclass(frozen=True)
class BeginWait(_AtStep):
    """Begin to wait; the moment until which is found by the database's clock."""

    step: StepDefinition
    attempt: int
    arguments: Mapping[str, Any]
    condition: Mapping[str, Any] | None = None
    place: str = ""


@dataclass(frozen=True)
class BeginChild(_AtStep):
    """Begin a step's own run, and wait for its end."""

    step: StepDefinition
    attempt: int
    arguments: Mapping[str, Any]
    condition: Mapping[str, Any] | None = None
    delay_s: float = 0.0
    place: str = ""


@dataclass(frozen=True)
class Await(_AtStep):
    """See whether what a step waits for is there; else the run sleeps on."""

    step: StepDefinition
    attempt: int
    awaited: Mapping[str, Any]
    place: str = ""


@dataclass(frozen=True)
class LookUp(_AtStep):
    """Ask whether the intended effect happened."""

    step: StepDefinition
    attempt: int
    arguments: Mapping[str, Any]
    place: str = ""


@dataclass(frozen=True)
class Together:
    """Begin several steps that call out at the same time, or look at several waits."""

    commands: tuple[Execute | Await, ...]

    @property
    def delay_s(self) -> float:
        """Tell the shortest of the pauses before them."""
        return min(getattr(command, "delay_s", 0.0) for command in self.commands)


@dataclass(frozen=True)
class Linger:
    """Nothing new may begin until one of the steps under way here ends, or one of `waits` is over."""

    waits: tuple[Await, ...] = ()


@dataclass(frozen=True)
class RunFallback(_AtStep):
    """Answer in the failed step's stead."""

    step: StepDefinition
    action: str
    place: str = ""


@dataclass(frozen=True)
class UndoStep:
    """Undo a completed step."""

    compensation: CompensationDefinition
    attempt: int
    arguments: Mapping[str, Any]
    undone: Mapping[str, Any] = field(default_factory=dict)
    is_repeat: bool = False
    delay_s: float = 0.0

    @property
    def path(self) -> str:
        """Name the effect within the run; never the same as the step's own."""
        return f"{self.compensation.step}/undo"


@dataclass(frozen=True)
class UndoChild:
    """See to it that a step's own run leaves nothing behind; `retries` tells how often a person asked."""

    step: str
    attempt: int
    child_id: str
    is_asked: bool
    retries: int

    @property
    def path(self) -> str:
        return f"{self.step}/undo"


@dataclass(frozen=True)
class Finish:
    """End the run."""

    status: RunStatus


@dataclass(frozen=True)
class Rest:
    """Nothing is to be done until somebody asks for something."""


Command = (
    Record
    | Execute
    | BeginWait
    | BeginChild
    | Await
    | LookUp
    | Together
    | Linger
    | RunFallback
    | UndoStep
    | UndoChild
    | Finish
    | Rest
)
