"""What must hold in every world of chance, looked at after each transition."""

from __future__ import annotations

from apps.orchestration.contracts import RunStatus, StepStatus
from apps.orchestration.definitions.contracts import Effect, StepDefinition
from apps.orchestration.engine import decisions as d
from apps.orchestration.engine.choosing import MAX_TOGETHER
from apps.orchestration.engine.flow import needed_of
from apps.orchestration.engine.replay import replay
from apps.orchestration.engine.state import Fact, Kind, RunState, fold

ONCE = (Effect.LOOKUP, Effect.NEITHER)  # a second call is a second effect
FORWARD = {Kind.STEP_INTENDED, Kind.STEP_OPENED, Kind.STEP_WAITING, Kind.TRANSITIONED}


class Violated(AssertionError):
    """Something that must always hold does not."""


class Promises:
    """The looking of a `World`, which has all that is looked at."""

    def check(self, fact: Fact, before: RunState) -> None:
        path = str(fact.data.get("step", ""))
        self.require(fold([*self.stored, *self.waiting]) == self.state, "the state is not its facts' fold")
        self.require(not before.status.is_end or self.is_asked(fact), "something happened after the end")
        self.require(len(set(self.state.done)) == len(self.state.done), "a step was done twice")
        self.require(self.state.done[: len(before.done)] == before.done, "something done was forgotten")
        is_new = fact.kind in FORWARD or (fact.kind is Kind.STEP_COMPLETED and path not in before.steps)
        if is_new:
            self.require(path not in before.done or fact.kind is Kind.TRANSITIONED, "a done step began again")
            self.require(before.status is not RunStatus.COMPENSATING, "something began while undoing")
            self.require(not self.is_hopeless(path, before), "something began beside what failed for good")
        if fact.kind is Kind.STEP_COMPLETED and "branches" in fact.data["output"]:
            self.check_join(path, fact.data["output"]["branches"])
        if fact.kind is Kind.STEP_UNDONE:
            self.undone.append(path)
            expected = [
                p for p in reversed(self.state.done) if d.step_id_of(p) in self.definition.compensation
            ]
            self.require(
                self.undone == expected[: len(self.undone)], "not exactly the reverse order, each once"
            )
        self.require(len(self.flights) <= MAX_TOGETHER, "too much at the same time")

    def is_hopeless(self, path: str, state: RunState) -> bool:
        """Tell whether a `parallel` around a step has lost too many branches for its join."""
        parts = path.split(".")
        for depth in range(1, len(parts)):
            around, step = ".".join(parts[:depth]), self.definition.step(parts[depth - 1])
            lost = {found for failed in state.failed if (found := self.branch_lost(around, step, failed))}
            if step.branches and len(step.branches) - len(lost) < needed_of(step):
                return True
        return False

    def branch_lost(self, around: str, step: StepDefinition, failed: str) -> str:
        """Name the branch of a `parallel` that a failure is in, unless another in between forgives it."""
        inside = failed.removeprefix(f"{around}.").split(".")
        if not failed.startswith(f"{around}.") or any(
            self.definition.step(part).config.get("join", "all") != "all" for part in inside[:-1]
        ):
            return ""
        first = d.step_id_of(inside[0])
        return next((b.id for b in step.branches if any(s.id == first for s in b.steps)), "")

    def check_join(self, path: str, joined: list[str]) -> None:
        for branch in self.definition.step(path).branches:
            ended = [self.state.step(f"{path}.{step.id}") for step in branch.steps]
            whole = all(known.status.value in ("done", "skipped") and not known.reason for known in ended)
            self.require(whole == (branch.id in joined), f"branch {branch.id} of {path} is not as it says")

    def is_asked(self, fact: Fact) -> bool:
        return fact.kind in (Kind.RETRY_REQUESTED, Kind.COMPENSATION_STARTED)

    def require(self, holds: bool, message: str) -> None:
        if not holds:
            told = "\n".join(f"  {fact.kind} {dict(fact.data)}" for fact in [*self.stored, *self.waiting])
            raise Violated(f"seed {self.seed}: {message}\n{told}")

    def check_end(self) -> None:
        """Check what must hold of an ended run."""
        status, state = self.state.status, self.state
        undo = self.definition.compensation
        to_undo = [path for path in reversed(state.done) if d.step_id_of(path) in undo]
        self.require(status.is_end, "the run has not ended")
        self.require(not state.under_way, "something is still under way")
        if status in (RunStatus.COMPENSATED, RunStatus.FAILED, RunStatus.CANCELLED):
            self.require(self.undone == to_undo, "something was left as it was")
        elif status is RunStatus.COMPENSATION_FAILED:
            stuck = to_undo[len(self.undone)]
            self.require(state.step(stuck).status is StepStatus.STUCK, "it stopped at what is not stuck")
        else:
            self.require(not self.undone, "a completed run was undone")
        wrong = replay(self.stored, self.definition)
        self.require(not wrong, f"its history is not what would be decided again: {wrong}")
