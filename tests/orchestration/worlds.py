"""A run in a world of chance: a virtual clock, effects that are only counted, crashes, and what must hold.

The decisions are the engine's own; what performs them here keeps to the order in which the engine stores.
After every transition the invariants are checked.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from apps.orchestration.contracts import RunStatus, StepStatus
from apps.orchestration.definitions.contracts import Effect, WorkflowDefinition
from apps.orchestration.engine import decisions as d
from apps.orchestration.engine.choosing import NAP_S
from apps.orchestration.engine.deadlines import is_limited
from apps.orchestration.engine.state import REQUESTED, Fact, Kind, RunState, fold
from tests.orchestration.promises import Promises

MAX_TURNS = 20_000
ONCE = (Effect.LOOKUP, Effect.NEITHER)  # a second call is a second effect
FORWARD = {Kind.STEP_INTENDED, Kind.STEP_OPENED, Kind.STEP_WAITING, Kind.TRANSITIONED}


class Died(Exception):
    """The process that executes the run dies here."""


@dataclass
class Chances:
    """How likely what is; all nothing for a world in which all goes well."""

    failure: float = 0.12
    crash: float = 0.05
    lost: float = 0.5  # that a call whose executor died had reached the other side


@dataclass
class Flight:
    """A step that calls out, and when its result is there."""

    command: d.Execute
    lands_at: float


@dataclass
class World(Promises):
    """One run of one workflow; `seed` decides everything."""

    definition: WorkflowDefinition
    seed: int
    chances: Chances = field(default_factory=Chances)
    now: float = 0.0
    stored: list[Fact] = field(default_factory=list)
    waiting: list[Fact] = field(default_factory=list)
    flights: dict[str, Flight] = field(default_factory=dict)
    effects: Counter[str] = field(default_factory=Counter)
    signals: dict[str, float] = field(default_factory=dict)
    undone: list[str] = field(default_factory=list)
    is_fresh: bool = True
    wants_cancel: bool = False
    cancel_at: int | None = None
    times_out_at: float | None = None
    transitions: int = 0
    turns: int = 0

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.state = RunState()
        self.note(Kind.RUN_STARTED, input={})
        self.stored, self.waiting = self.waiting, []

    # What happens, and what must hold whenever it does.

    def note(self, kind: Kind, **data: Any) -> None:
        """Take a fact into the state, as the journal does, and check what must hold."""
        fact, before = Fact(kind, data), self.state
        self.state = fold([fact], before)
        self.waiting.append(fact)
        self.transitions += 1
        self.check(fact, before)

    # The process that executes the run.

    def flush(self) -> None:
        """Store what waits: before and after it the process may die."""
        self.may_die()
        self.stored += self.waiting
        self.waiting = []
        self.may_die()

    def may_die(self) -> None:
        if self.chance.random() < self.chances.crash / 4:
            raise Died

    def die(self) -> None:
        """Lose what was not stored; what was under way may have reached the other side."""
        for flight in self.flights.values():
            if self.succeeds(flight.command.path, flight.command.attempt) and self.is_lucky():
                self.take_effect(flight.command.path, flight.command.step.effect)
        self.flights, self.waiting, self.is_fresh = {}, [], True
        self.state = fold(self.stored)
        self.undone = [fact.data["step"] for fact in self.stored if fact.kind is Kind.STEP_UNDONE]

    def is_lucky(self) -> bool:
        return self.chance.random() < self.chances.lost

    def turn(self) -> bool:
        """Do what is decided; tells whether the run rests."""
        self.turns += 1
        self.require(self.turns < MAX_TURNS, "the run does not come to its end")
        command = d.decide(self.state, self.definition, None, frozenset(self.flights))
        try:
            return self.perform(command)
        except Died:
            self.die()
            return False

    def perform(self, command: d.Command) -> bool:
        if isinstance(command, d.Rest):
            self.require(not self.flights, "the run rests while something is under way")
            self.flush()
            return True
        delay_s = getattr(command, "delay_s", 0.0)
        if delay_s > NAP_S and not self.is_fresh:
            self.flush()
            self.now += delay_s
            self.state, self.is_fresh = fold(self.stored), True
            return False
        is_fresh, self.is_fresh = self.is_fresh, False
        if self.chance.random() < self.chances.crash:
            raise Died
        if self.wants_cancel and not self.state.is_cancelling:
            self.note(Kind.CANCEL_REQUESTED)
        elif self.is_late() and is_limited(self.state):
            self.note(Kind.RUN_TIMED_OUT, error="too late")
        else:
            self.do(command, is_fresh)
        return False

    def is_late(self) -> bool:
        return self.times_out_at is not None and self.now >= self.times_out_at

    def do(self, command: d.Command, is_fresh: bool) -> None:
        match command:
            case d.Record(fact):
                self.note(fact.kind, **fact.data)
            case d.Execute():
                self.execute(command)
            case d.LookUp():
                self.look_up(command)
            case d.RunFallback(_, action):
                self.fall_back(command.path, action)
            case d.UndoStep():
                self.undo(command)
            case d.Finish(status):
                self.note(Kind.RUN_ENDED, status=status.value)
                self.flush()
            case _:
                self.wait_or_fly(command, is_fresh)

    def wait_or_fly(self, command: d.Command, is_fresh: bool) -> None:
        match command:
            case d.Together(commands) if isinstance(commands[0], d.Execute):
                self.take_off(commands, is_fresh)
            case d.Together(commands):
                self.sleep(commands)
            case d.Linger(waits):
                self.linger(waits)
            case d.BeginWait():
                self.begin_wait(command)
            case d.Await():
                self.sleep((command,))

    def succeeds(self, path: str, attempt: int) -> bool:
        """Tell how an attempt ends: the same whenever it is asked."""
        return random.Random(f"{self.seed}/{path}/{attempt}").random() >= self.chances.failure

    def take_effect(self, path: str, effect: Effect) -> None:
        """Have an effect; one with the same key happens once where the other side knows its keys."""
        self.effects[path] += 1
        if effect in ONCE or effect is Effect.TRANSACTIONAL:
            self.require(self.effects[path] == 1, f"the effect {path} happened twice")

    def intend(self, commands: tuple[d.Execute, ...]) -> None:
        new = [command for command in commands if not command.is_repeat]
        for command in new:
            self.require(command.path not in self.state.done, f"{command.path} is done, and begins again")
            base = {"step": command.path, "attempt": command.attempt}
            self.note(Kind.STEP_INTENDED, **base, arguments=dict(command.arguments))
        if new and any(command.step.effect is not Effect.NONE for command in new):
            self.flush()

    def execute(self, command: d.Execute) -> None:
        effect = command.step.effect
        self.require(command.path not in self.state.done, f"{command.path} is done, and begins again")
        if effect not in (Effect.NONE, Effect.TRANSACTIONAL):
            self.intend((command,))
        self.now += self.chance.random()
        self.land(command)

    def take_off(self, commands: tuple[Any, ...], is_fresh: bool) -> None:
        self.intend(commands)
        for command in commands:
            pause = 0.0 if is_fresh else command.delay_s
            self.flights[command.path] = Flight(command, self.now + pause + self.chance.random() * 3)

    def land(self, command: d.Execute) -> None:
        path, attempt, effect = command.path, command.attempt, command.step.effect
        base = {"step": path, "attempt": attempt}
        if self.succeeds(path, attempt):
            if effect is not Effect.TRANSACTIONAL:
                self.take_effect(path, effect)
                self.may_die()
            self.note(Kind.STEP_COMPLETED, **base, output={"n": self.chance.randint(0, 3)})
            if effect is Effect.TRANSACTIONAL:
                self.commit_effect(path)
        else:
            retry = command.step.retry
            is_final = attempt >= retry.max_attempts
            delay_s = 0.0 if is_final else retry.delay_s(attempt)
            self.note(Kind.STEP_FAILED, **base, error="no", is_final=is_final, retry_in_s=delay_s)
        if effect in ONCE:
            self.flush()

    def commit_effect(self, path: str) -> None:
        """Store a fact together with its effect: both or neither."""
        self.may_die()
        self.stored += self.waiting
        self.waiting = []
        self.take_effect(path, Effect.TRANSACTIONAL)

    def linger(self, waits: tuple[d.Await, ...]) -> None:
        soonest = min(self.flights.values(), key=lambda flight: flight.lands_at)
        over = min((self.over_at(wait) for wait in waits), default=float("inf"))
        self.now = max(self.now, min(soonest.lands_at, over))
        if over < soonest.lands_at:
            self.end_waits(waits)
            return
        del self.flights[soonest.command.path]
        self.land(soonest.command)

    def begin_wait(self, command: d.BeginWait) -> None:
        asked = command.arguments
        length = asked.get("for") or asked.get("timeout")
        until = None if length is None else self.now + float(length[:-1])
        kind = next(name for name in ("for", "signal", "approval") if name in asked)
        if kind != "for":
            self.signals.setdefault(command.path, self.now + self.chance.random() * 12)
        awaited = {"kind": kind, "what": asked[kind], "until": until}
        self.note(Kind.STEP_WAITING, step=command.path, attempt=command.attempt, awaited=awaited)

    def over_at(self, wait: d.Await) -> float:
        until = wait.awaited["until"]
        return min(float("inf") if until is None else until, self.signals.get(wait.path, float("inf")))

    def end_waits(self, waits: tuple[d.Await, ...]) -> bool:
        over = [wait for wait in waits if self.over_at(wait) <= self.now]
        for wait in over:
            self.note(Kind.STEP_COMPLETED, step=wait.path, attempt=wait.attempt, output={})
        self.flush()
        return bool(over)

    def sleep(self, waits: tuple[Any, ...]) -> None:
        self.require(self.state.status is RunStatus.SLEEPING, "the run sleeps, and nobody can tell")
        if not self.end_waits(waits):
            self.now = min(self.over_at(wait) for wait in waits)
            self.require(self.now < float("inf"), "the run sleeps for ever")

    def look_up(self, command: d.LookUp) -> None:
        is_done = self.effects[command.path] > 0
        outcome = {"outcome": "done", "output": {"n": 1}} if is_done else {"outcome": "not_done"}
        self.note(Kind.STEP_RESOLVED, step=command.path, attempt=command.attempt, **outcome)

    def fall_back(self, path: str, action: str) -> None:
        if self.succeeds(f"{path}/fallback", 1):
            self.note(Kind.FALLBACK_COMPLETED, step=path, action=action, output={"text": "sorry"})
        else:
            self.note(Kind.FALLBACK_FAILED, step=path, action=action, error="no")

    def undo(self, command: d.UndoStep) -> None:
        path, effect = command.compensation.step, command.compensation.effect
        base = {"step": path, "action": command.compensation.action, "attempt": command.attempt}
        if effect not in (Effect.NONE, Effect.TRANSACTIONAL) and not command.is_repeat:
            self.note(Kind.UNDO_INTENDED, **base, arguments=dict(command.arguments))
            self.flush()
        if not self.succeeds(command.path, command.attempt):
            retry = self.definition.step(path).retry
            is_final = command.attempt >= retry.max_attempts
            self.note(Kind.UNDO_FAILED, **base, error="no", is_final=is_final, retry_in_s=0.0)
            return
        if effect is not Effect.TRANSACTIONAL:
            self.take_effect(command.path, effect)
            self.may_die()
        self.note(Kind.STEP_UNDONE, **base, output={})
        if effect is Effect.TRANSACTIONAL:
            self.commit_effect(command.path)
        if effect in ONCE:
            self.flush()

    # What people do.

    def outside(self, kind: Kind, **data: Any) -> None:
        """Add what a person says to a run that nobody executes."""
        self.note(kind, **data)
        self.stored += self.waiting
        self.waiting, self.is_fresh = [], True

    def resolve(self) -> None:
        """Say truthfully whether a step whose outcome was lost took effect."""
        unknown = [path for path, known in self.state.steps.items() if known.status is StepStatus.UNKNOWN]
        path = self.chance.choice(unknown)
        done: dict[str, Any] = {"outcome": "done", "output": {"n": 2}}
        told = done if self.effects[path] else {"outcome": "not_done"}
        self.outside(Kind.STEP_RESOLVED, step=path, **told, by="ops")
        is_asking = self.state.status is RunStatus.WAITING
        self.require(is_asking == (len(unknown) > 1), "it does not wait for what is still unknown")

    def retry(self) -> None:
        """Retry a failed run, or an undoing that is stuck: what was done by hand is said so."""
        stuck = [path for path, known in self.state.steps.items() if known.status is StepStatus.STUCK]
        self.chances = Chances(failure=0.0, crash=self.chances.crash)
        self.outside(Kind.RETRY_REQUESTED, by="ops")
        for path in stuck:
            if self.effects[f"{path}/undo"]:
                undone = {"step": path, "action": "undo", "attempt": 1, "output": {}}
                self.outside(Kind.STEP_UNDONE, **undone, by="ops")

    def ask_to_undo(self) -> None:
        self.outside(Kind.COMPENSATION_STARTED, reason=REQUESTED, by="ops")

    def live(self) -> RunState:
        """Go on until the run has ended, with people who answer what is asked."""
        while True:
            rests = self.turn()
            self.wants_cancel |= self.turns == self.cancel_at
            if rests and self.state.status is RunStatus.WAITING:
                self.resolve()
            elif rests:
                return self.state


def live_through(definition: WorkflowDefinition, seed: int) -> World:
    """Live one run to its end, and what people may ask for afterwards. Raises Violated."""
    chance = random.Random(f"{seed}/world")
    world = World(definition, seed)
    world.chances = Chances(failure=chance.choice([0.0, 0.05, 0.2]), crash=chance.choice([0.0, 0.03, 0.15]))
    world.times_out_at = chance.choice([None, None, None, chance.random() * 10])
    world.cancel_at = chance.choice([None, None, chance.randint(1, 30)])
    world.live()
    world.check_end()
    status, is_asked = world.state.status, chance.random() < 0.6
    if is_asked and status in (RunStatus.FAILED, RunStatus.COMPENSATION_FAILED):
        world.times_out_at = None
        world.retry()
    elif is_asked and status is RunStatus.COMPLETED and d.list_undoable(world.state, definition):
        world.ask_to_undo()
    world.live()
    world.check_end()
    return world
