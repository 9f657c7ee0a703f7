"""What starts runs: checked when a workflow is published."""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from apps.orchestration.definitions.contracts import Problem, TriggerDefinition, hook_name
from apps.orchestration.definitions.durations import duration_s
from apps.orchestration.definitions.language.moments import (
    SHORTEST_S,
    moments_after,
    read_cron,
    read_zone,
)
from apps.orchestration.definitions.language.nesting import each_step
from apps.orchestration.definitions.language.source import Path, Source

# Events that may start runs. One that only runs tell of needs `workflow`: whose run is meant.
OF_RUNS = ("agent.run.completed", "agent.run.failed")
STARTING_EVENTS = (
    "agent.conversation.closed",
    "agent.conversation.opened",
    "agent.conversation.rated",
    "agent.conversation.released",
    "agent.conversation.reopened",
    "agent.conversation.taken_over",
    "agent.customer.created",
    "agent.document.failed",
    "agent.document.indexed",
    "agent.escalation.cancelled",
    "agent.escalation.claimed",
    "agent.escalation.opened",
    "agent.escalation.reopened",
    "agent.escalation.resolved",
    "agent.lead.captured",
    "agent.message.received",
    "agent.message.sent",
    "agent.order.cancelled",
    "agent.order.created",
    "agent.order.delivered",
    "agent.order.held",
    "agent.order.refunded",
    "agent.order.reinstated",
    "agent.order.released",
    "agent.order.shipped",
    *OF_RUNS,
)
_FIELDS = {
    "webhook": ("endpoint", "event"),
    "websocket": ("event", "endpoint"),
    "api": ("endpoint",),
    "event": ("event", "workflow"),
    "schedule": ("cron", "timezone", "every"),
}
# What a run is given besides its declared inputs: name -> (type, what it is where nothing gave it).
GIVEN: Mapping[str, Mapping[str, tuple[str, Any]]] = {
    "schedule": {"scheduled_for": ("string", "")},
    "event": {"event": ("map", {})},
}
NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)  # any moment: whether a schedule ever comes is asked


def implied_inputs(data: Mapping[str, Any]) -> dict[str, tuple[str, Any]]:
    """Return the inputs that a workflow has through what starts it, unless it declares them itself."""
    declared = data.get("inputs", {})
    kinds = {trigger["type"] for trigger in data.get("triggers", [])}
    given = [item for kind in sorted(kinds) for item in GIVEN.get(kind, {}).items()]
    return {name: spec for name, spec in given if name not in declared}


def check_triggers(source: Source) -> Iterator[Problem]:
    """Check that each trigger can start the workflow."""
    for index, trigger in enumerate(source.data.get("triggers", [])):
        path: Path = ("triggers", index)
        kind = trigger["type"]
        for name in trigger:
            if name != "type" and name not in _FIELDS[kind]:
                message = f"{'an' if kind in ('api', 'event') else 'a'} {kind} trigger has no `{name}`"
                yield source.problem((*path, name), message, "remove the line", at_key=True)
        match kind:
            case "webhook":
                yield from _check_webhook(source, path, trigger)
            case "websocket" if "event" not in trigger:
                yield _needs(source, path, kind, "event")
            case "event":
                yield from _check_event(source, path, trigger)
            case "schedule":
                yield from _check_schedule(source, path, trigger)


def _needs(source: Source, path: Path, kind: str, name: str) -> Problem:
    return source.problem(path, f"a {kind} trigger needs `{name}`", f"add a line: {name}: …")


def _check_webhook(source: Source, path: Path, trigger: Mapping[str, Any]) -> Iterator[Problem]:
    if "endpoint" not in trigger:
        yield _needs(source, path, "webhook", "endpoint")
    elif not hook_name(trigger["endpoint"]):
        fix = 'write "/webhook/" and the name of an endpoint'
        yield source.problem((*path, "endpoint"), "no webhook endpoint can have this address", fix)


def _check_event(source: Source, path: Path, trigger: Mapping[str, Any]) -> Iterator[Problem]:
    if "event" not in trigger:
        yield source.problem(path, "an event trigger needs `event`", "add a line: event: …")
        return
    event, whose, where = trigger["event"], trigger.get("workflow"), (*path, "event")
    if event.startswith("route."):
        return
    full = full_name(event)
    if full not in STARTING_EVENTS:
        near = difflib.get_close_matches(full, STARTING_EVENTS, n=1)
        fix = f"did you mean `{near[0]}`?" if near else f"use one of: {', '.join(STARTING_EVENTS)}"
        yield source.problem(where, f"`{event}` starts nothing", fix)
        return
    if full in OF_RUNS and whose is None:
        message = "this workflow's own runs would start it again and again"
        yield source.problem(where, message, "say whose runs are meant: workflow: …")
    elif whose == source.data["name"]:
        yield source.problem((*path, "workflow"), "a workflow cannot start itself", "name another one")
    elif full not in OF_RUNS and whose is not None:
        yield source.problem((*path, "workflow"), f"`{event}` is of no workflow", "remove it", at_key=True)
    yield from _check_gets(source, path, "an event")


def _check_schedule(source: Source, path: Path, trigger: Mapping[str, Any]) -> Iterator[Problem]:
    if ("cron" in trigger) == ("every" in trigger):
        fix = 'write for instance cron: "0 9 * * 1-5", or every: "1h"'
        yield source.problem(path, "a schedule is given by one of `cron` and `every`", fix)
        return
    problem = _check_cron(source, path, trigger) if "cron" in trigger else _check_every(source, path, trigger)
    if problem is not None:
        yield problem
    yield from _check_gets(source, path, "a schedule")


def _check_cron(source: Source, path: Path, trigger: Mapping[str, Any]) -> Problem | None:
    for name, read in (("timezone", read_zone), ("cron", read_cron)):
        try:
            read(trigger.get(name, ""))
        except ValueError as error:
            fix = (
                'write for instance "0 9 * * 1-5"' if name == "cron" else 'write for instance "Europe/Berlin"'
            )
            return source.problem((*path, name), str(error), fix)
    schedule = TriggerDefinition("schedule", cron=trigger["cron"], timezone=trigger.get("timezone", ""))
    if next(moments_after(schedule, NOW), None) is None:
        return source.problem((*path, "cron"), "such a day never comes", "choose another day or month")
    return None


def _check_every(source: Source, path: Path, trigger: Mapping[str, Any]) -> Problem | None:
    where = (*path, "every")
    if "timezone" in trigger:
        fix = "remove the line, or use cron"
        return source.problem((*path, "timezone"), "`every` knows no time zone", fix, at_key=True)
    try:
        seconds = duration_s(trigger["every"])
    except ValueError as error:
        return source.problem(where, str(error), "write for instance 15m, 1h or 1d")
    if seconds < SHORTEST_S:
        return source.problem(where, "a schedule starts at most one run a minute", "write 1m or more")
    return None


def _check_gets(source: Source, path: Path, who: str) -> Iterator[Problem]:
    """Refuse to be started by what does not give an input that has to be given."""
    for name, spec in source.data.get("inputs", {}).items():
        if spec.get("required", False):
            fix = f"give `{name}` a default in the place of required, or start the workflow by the API"
            yield source.problem(path, f"{who} does not give the required input `{name}`", fix)
    event = full_name(source.data["triggers"][path[1]].get("event", ""))
    routes = any(step["type"] == "router" for step in each_step(source.data["steps"]))
    if routes and event != "agent.message.received":
        message = f"{who} does not give the text that the router needs"
        yield source.problem(path, message, "remove the trigger, or the router")
    for name, (kind, _) in GIVEN[source.data["triggers"][path[1]]["type"]].items():
        declared = source.data.get("inputs", {}).get(name, {}).get("type", kind)
        if declared != kind:
            where = ("inputs", name, "type")
            yield source.problem(where, f"{who} gives `{name}` as a {kind}", f"write {kind}")


def full_name(event: str) -> str:
    """Return an event's type, whose first word may be left out."""
    return event if event.startswith(("agent.", "route.")) else f"agent.{event}"
