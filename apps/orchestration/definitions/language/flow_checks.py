"""What steps that hold others, and transitions between steps, have to keep to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from apps.orchestration.definitions.contracts import CONTAINERS, END, Problem
from apps.orchestration.definitions.durations import DURATION, duration_s
from apps.orchestration.definitions.language.nesting import Step, each_place, transitions_of
from apps.orchestration.definitions.language.source import Path, Source
from apps.orchestration.definitions.language.typecheck import suggestion

MAX_DEPTH = 3
MAX_STEPS = 200
MAX_TIMEOUT_S = 600
_HOLDS = {"parallel": "branches", "foreach": "steps"}
_NOT_OF_CONTAINERS = ("retry", "fallback", "compensation", "timeout", "timeout_s")


def check_flow(source: Source) -> Iterator[Problem]:
    """Check how steps hold others and where they lead."""
    places = list(each_place(source.data["steps"]))
    if len(places) > MAX_STEPS:
        message = f"there are {len(places)} steps in all"
        yield source.problem(("steps",), message, f"use at most {MAX_STEPS}; a foreach repeats steps")
    for path, step, depth in places:
        yield from _check_held(source, path, step, depth)
        yield from _check_timeout(source, path, step)
    if any("next" in step for step in source.data["steps"]):
        yield from _check_transitions(source, source.data["steps"])


def _check_held(source: Source, path: Path, step: Step, depth: int) -> Iterator[Problem]:
    for kind, field in _HOLDS.items():
        if step["type"] == kind and field not in step:
            yield source.problem(path, f"a {kind} step needs `{field}`", f"add a line: {field}: …")
        elif step["type"] != kind and field in step:
            message = f"a {step['type']} step has no `{field}`"
            yield source.problem((*path, field), message, f"make it a {kind} step", at_key=True)
    if step["type"] in CONTAINERS:
        yield from _check_container(source, path, step, depth)
    for field in ("next", "max_visits") if depth else ():
        if field in step:
            fix = "remove it, or take the step out of the one around it"
            yield source.problem((*path, field), f"only outer steps have `{field}`", fix, at_key=True)


def _check_container(source: Source, path: Path, step: Step, depth: int) -> Iterator[Problem]:
    if depth >= MAX_DEPTH:
        yield source.problem(path, "this is nested too deeply", f"use at most {MAX_DEPTH} levels")
    for field in _NOT_OF_CONTAINERS:
        if field in step:
            message = f"a {step['type']} step has no `{field}` of its own"
            yield source.problem((*path, field), message, "give it to the steps inside", at_key=True)
    names = [
        branch.get("id", f"branch_{number}") for number, branch in enumerate(step.get("branches", []), 1)
    ]
    for number, name in enumerate(names):
        if name in names[:number]:
            where = (*path, "branches", number)
            yield source.problem(where, f"there are two branches `{name}`", "rename one of them")
    join = step.get("config", {}).get("join")
    if step["type"] == "parallel" and isinstance(join, int) and join > len(names):
        where = (*path, "config", "join")
        yield source.problem(
            where, f"there are only {len(names)} branches", "write all, any or a lower number"
        )


def _check_timeout(source: Source, path: Path, step: Step) -> Iterator[Problem]:
    given = [field for field in ("timeout", "timeout_s") if field in step]
    if len(given) == 2:
        yield source.problem((*path, "timeout_s"), "`timeout` says this", "remove the line", at_key=True)
    elif given and step["type"] == "wait":
        fix = "write it in its config"
        yield source.problem((*path, given[0]), "a wait step has its timeout elsewhere", fix, at_key=True)
    text = step.get("timeout", "")
    if step["type"] == "subworkflow":
        yield from _check_long_timeout(source, path, text)
    elif DURATION.fullmatch(text) and not 0 < float(text[:-1]) * _unit_s(text) <= MAX_TIMEOUT_S:
        fix = "write more than 0s and at most 10m"
        yield source.problem((*path, "timeout"), f"a step cannot have a timeout of {text}", fix)


def _check_long_timeout(source: Source, path: Path, text: str) -> Iterator[Problem]:
    """A run waits for another's end as it does for anything else: in its table, for up to a year."""
    try:
        if text:
            duration_s(text)
    except ValueError as error:
        yield source.problem((*path, "timeout"), str(error), "write a shorter one")


def _unit_s(text: str) -> float:
    return duration_s(f"1{text[-1]}")


def _check_transitions(source: Source, steps: Sequence[Step]) -> Iterator[Problem]:
    targets = [*(step["id"] for step in steps), END]
    unknown = False
    for index, step in enumerate(steps):
        if step["id"] == END:
            message, fix = "`end` is where a run ends", "rename the step"
            yield source.problem(("steps", index, "id"), message, fix)
        for place, entry in _entries(step, ("steps", index, "next")):
            if entry["to"] not in targets:
                unknown = True
                fix = suggestion(entry["to"], targets)
                yield source.problem(place, f"there is no outer step `{entry['to']}`", fix)
        yield from _check_order(source, ("steps", index, "next"), step)
    if not unknown:
        yield from _check_ways(source, steps)


def _entries(step: Step, path: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    for index, entry in enumerate(transitions_of(step)):
        yield (path if isinstance(step["next"], str) else (*path, index, "to")), entry


def _check_order(source: Source, path: Path, step: Step) -> Iterator[Problem]:
    entries = transitions_of(step)
    for index, entry in enumerate(entries[:-1]):
        if "when" not in entry:
            message = "nothing after this is looked at, since it has no `when`"
            yield source.problem((*path, index), message, "put it last, or give it a `when`")


def _check_ways(source: Source, steps: Sequence[Step]) -> Iterator[Problem]:
    ways = {step["id"]: list(_ways(step, steps, index)) for index, step in enumerate(steps)}
    reached = _closure({steps[0]["id"]}, ways)
    backwards: dict[str, list[str]] = {}
    for origin, targets in ways.items():
        for target in targets:
            backwards.setdefault(target, []).append(origin)
    ending = _closure({END}, backwards)
    for index, step in enumerate(steps):
        if step["id"] not in reached:
            fix = "let a `next` lead to it, or remove it"
            yield source.problem(("steps", index, "id"), f"no way leads to `{step['id']}`", fix)
        elif step["id"] not in ending and "next" in step:
            message = f"from `{step['id']}` the run only goes round in a circle"
            fix = "give one of the circle's steps a `when` that leads out of it, or to: end"
            yield source.problem(("steps", index, "next"), message, fix)


def _ways(step: Step, steps: Sequence[Step], index: int) -> Iterator[str]:
    entries = transitions_of(step)
    yield from (entry["to"] for entry in entries)
    if all("when" in entry for entry in entries):
        yield steps[index + 1]["id"] if index + 1 < len(steps) else END


def _closure(begin: set[str], ways: Mapping[str, Sequence[str]]) -> set[str]:
    found, left = set(begin), list(begin)
    while left:
        new = [name for name in ways.get(left.pop(), ()) if name not in found]
        found |= set(new)
        left += new
    return found
