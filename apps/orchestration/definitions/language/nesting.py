"""The steps of a source with those inside of others, and where its transitions lead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from apps.orchestration.definitions.language.source import Path

Step = Mapping[str, Any]


def sequences_in(step: Step, path: Path) -> Iterator[tuple[Path, Sequence[Step]]]:
    """Yield the sequences of steps right inside of a step, each with its place in the source."""
    for index, branch in enumerate(step.get("branches", [])):
        yield (*path, "branches", index, "steps"), branch["steps"]
    if "steps" in step:
        yield (*path, "steps"), step["steps"]


def each_place(
    steps: Sequence[Step], base: Path = ("steps",), depth: int = 0
) -> Iterator[tuple[Path, Step, int]]:
    """Yield every step with its place in the source and how many steps are around it."""
    for index, step in enumerate(steps):
        path = (*base, index)
        yield path, step, depth
        for inner, held in sequences_in(step, path):
            yield from each_place(held, inner, depth + 1)


def each_step(steps: Sequence[Step]) -> Iterator[Step]:
    """Yield every step, those inside of others right after these."""
    return (step for _, step, _ in each_place(steps))


def transitions_of(step: Step) -> list[dict[str, Any]]:
    """Return where a run goes after a step, in the long form."""
    given = step.get("next", [])
    return [{"to": given}] if isinstance(given, str) else list(given)
