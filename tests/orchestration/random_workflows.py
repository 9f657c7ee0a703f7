"""Workflows drawn at random: steps of every promise, branches, loops, waits, transitions, undoings."""

from __future__ import annotations

import random
from collections.abc import Iterator

from apps.orchestration.definitions.contracts import (
    END,
    BranchDefinition,
    CompensationDefinition,
    Effect,
    RetryRule,
    StepDefinition,
    StepType,
    TransitionDefinition,
    WorkflowDefinition,
)

EFFECTS = list(Effect)
MAX_DEPTH = 3


class Drawing:
    """Draws one workflow from a source of chance; the same seed gives the same workflow."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.ids = (f"s{number}" for number in range(10_000))
        self.left = chance.randint(1, 12)  # steps that are still to be drawn
        self.fallback = chance.choice(["", "", "", "generic_response"])

    def workflow(self) -> WorkflowDefinition:
        steps = self.sequence(0, []) or (self.leaf([]),)
        if self.chance.random() < 0.3:
            steps = tuple(self.turning(steps))
        every = WorkflowDefinition("w", "1", "hash", "", (), (), steps, {}).all_steps
        undone = [step for step in every if not step.is_container and self.chance.random() < 0.6]
        compensation = {
            step.id: CompensationDefinition(step.id, "undo", self.chance.choice(EFFECTS)) for step in undone
        }
        return WorkflowDefinition("w", "1", "hash", "", (), (), steps, compensation)

    def sequence(self, depth: int, seen: list[str]) -> tuple[StepDefinition, ...]:
        known, steps = list(seen), []
        for _ in range(self.chance.randint(1, 5 if depth == 0 else 3)):
            if self.left <= 0 and steps:
                break
            step = self.step(depth, known)
            steps.append(step)
            known.append(step.id)
        return tuple(steps)

    def step(self, depth: int, seen: list[str]) -> StepDefinition:
        kind = self.chance.random()
        if depth < MAX_DEPTH and self.left > 1 and kind < 0.3:
            return self.parallel(depth, seen) if kind < 0.18 else self.foreach(depth, seen)
        return self.wait(seen) if kind > 0.92 else self.leaf(seen)

    def leaf(self, seen: list[str]) -> StepDefinition:
        self.left -= 1
        retry = RetryRule(self.chance.randint(1, 3), initial_delay_s=self.chance.choice([0.0, 0.2, 5.0]))
        return StepDefinition(
            id=next(self.ids),
            type=StepType.TOOL,
            effect=self.chance.choice(EFFECTS),
            tool="http_request",
            condition=self.condition(seen),
            retry=retry,
            fallback=self.fallback,
            outputs={"n": 0},
        )

    def wait(self, seen: list[str]) -> StepDefinition:
        self.left -= 1
        config = self.chance.choice(
            [{"for": "3s"}, {"signal": "paid"}, {"signal": "paid", "timeout": "9s"}, {"approval": "?"}]
        )
        named, condition = next(self.ids), self.condition(seen)
        return StepDefinition(named, StepType.WAIT, Effect.NONE, condition=condition, config=config)

    def parallel(self, depth: int, seen: list[str]) -> StepDefinition:
        named = next(self.ids)
        branches = tuple(
            BranchDefinition(f"b{number}", self.sequence(depth + 1, seen))
            for number in range(self.chance.randint(2, 3))
        )
        join = self.chance.choice(["all", "all", "any", self.chance.randint(1, len(branches))])
        return StepDefinition(
            named,
            StepType.PARALLEL,
            Effect.NONE,
            condition=self.condition(seen),
            config={"join": join},
            branches=branches,
            outputs={"count": 0, "branches": []},
        )

    def foreach(self, depth: int, seen: list[str]) -> StepDefinition:
        named = next(self.ids)
        count = self.chance.randint(0, 4)
        config = {
            "items": list(range(count)),
            "max_items": self.chance.choice([3, 10]),
            "concurrency": self.chance.randint(1, 3),
        }
        return StepDefinition(
            named,
            StepType.FOREACH,
            Effect.NONE,
            condition=self.condition(seen),
            config=config,
            body=self.sequence(depth + 1, seen),
            outputs={"results": [], "count": 0},
        )

    def condition(self, seen: list[str]) -> str:
        if seen and self.chance.random() < 0.1:
            return f"steps.{self.chance.choice(seen)}.state == 'done'"
        return self.chance.choice([""] * 12 + ["1 == 1", "1 == 2", "steps.nobody.n == 1"])

    def turning(self, steps: tuple[StepDefinition, ...]) -> Iterator[StepDefinition]:
        """Let steps lead elsewhere than down: also round in circles, which are bounded."""
        targets = [step.id for step in steps] + [END]
        leaves = [step.id for step in steps if "n" in step.outputs]
        for step in steps:
            entries = []
            for _ in range(self.chance.choice([0, 0, 1, 2])):
                about = self.chance.choice(leaves) if leaves else ""
                when = f"steps.{about}.n > {self.chance.randint(0, 2)}" if about else ""
                entries.append(TransitionDefinition(self.chance.choice(targets), when))
            yield StepDefinition(
                **{**step.__dict__, "next": tuple(entries), "max_visits": self.chance.randint(1, 4)}
            )


def draw_workflow(seed: int) -> WorkflowDefinition:
    """Draw the workflow of a seed."""
    return Drawing(random.Random(seed)).workflow()
