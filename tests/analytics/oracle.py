"""Figures from raw events by the words of docs/analytics.md, without any of the product's code.

Slow and simple on purpose: it looks at each conversation's events in the order in which they happened.
"""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction

from apps.events.contracts import Envelope

SECOND_EDGES = (
    "0.1 0.2 0.3 0.5 0.75 1 1.5 2 3 5 8 13 20 30 45 60 90 120 180 300 600 900 1800 3600 7200 14400 28800 "
    "86400 172800 604800"
)
EDGES_MS = [int(Fraction(edge) * 1000) for edge in SECOND_EDGES.split()]
DURATIONS = ("first_response", "first_response_ai", "first_response_human", "handoff", "resolution")


@dataclass
class Told:
    """One conversation: its events in order, and what is read from them."""

    events: list[Envelope]
    times: dict[str, list[dt.datetime]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        self.events.sort(key=lambda event: event.occurred_at)
        for event in self.events:
            name = event.type.removeprefix("agent.")
            if name == "message.sent":
                name = f"sent by {event.data['author']}"
            self.times[name].append(event.occurred_at)

    def of(self, name: str) -> list[dict]:
        return [event.data for event in self.events if event.type == f"agent.{name}"]

    @property
    def began(self) -> dt.datetime | None:
        return min(self.times["message.received"], default=None)

    @property
    def receipts(self) -> list[dict]:
        return [data["receipt"] for data in self.of("run.completed")]

    @property
    def questions(self) -> list[bool]:
        """For each question, whether the answer had a source."""
        return [
            bool(receipt["knows"])
            for receipt in self.receipts
            if receipt.get("intent") not in ("smalltalk", "sales_lead") and receipt.get("provider") != "rules"
        ]

    @property
    def knowing(self) -> list[dt.datetime]:
        answers = [event for event in self.events if event.type == "agent.run.completed"]
        return [event.occurred_at for event in answers if event.data["receipt"].get("knows")]

    @property
    def rating(self) -> int | None:
        scores = [data["score"] for data in self.of("conversation.rated")]
        return scores[-1] if scores else None

    @property
    def people(self) -> list[dt.datetime]:
        return self.times["sent by agent"]

    def is_confirmed(self) -> bool:
        return bool(self.knowing) and not self.people and self.rating in (4, 5)

    def is_assumed(self, window: dt.timedelta, as_of: dt.datetime) -> bool:
        if not self.knowing or self.people or self.times["escalation.opened"] or self.is_confirmed():
            return False
        last = self.knowing[-1]
        wrote_since = any(at > last for at in self.times["message.received"])
        return self.rating not in (1, 2) and not wrote_since and last + window <= as_of

    def came_back(self) -> bool:
        week = dt.timedelta(days=7)
        return any(
            dt.timedelta(0) < back - closed <= week
            for closed in self.times["conversation.closed"]
            for back in self.times["conversation.reopened"]
        )

    def durations(self, is_resolved: bool) -> Iterator[tuple[str, dt.timedelta]]:
        ai, people, began = self.times["sent by ai"], self.people, self.began
        yield from _first("first_response", began, ai + people)
        yield from _first("first_response_ai", began, ai)
        yield from _first("first_response_human", began, people)
        if self.times["escalation.opened"]:
            yield from _first("handoff", self.times["escalation.opened"][0], people)
        if self.times["conversation.closed"]:
            yield from _first("resolution", began, self.times["conversation.closed"])
        elif is_resolved:
            yield "resolution", self.knowing[-1] - began


def conversations_of(events: Iterable[Envelope]) -> list[Told]:
    by_id = defaultdict(list)
    for event in {event.id: event for event in events}.values():
        if event.conversation_id is not None:
            by_id[event.conversation_id].append(event)
    return [Told(found) for found in by_id.values()]


def began_in(told: Iterable[Told], start: dt.datetime, end: dt.datetime) -> list[Told]:
    return [one for one in told if one.began is not None and start <= one.began < end]


def kpis_of(
    told: Iterable[Told], start: dt.datetime, end: dt.datetime, *, window: dt.timedelta, as_of: dt.datetime
) -> dict:
    n, durations = Counter(), defaultdict(list)
    for one in began_in(told, start, end):
        confirmed, assumed = one.is_confirmed(), one.is_assumed(window, as_of)
        n["all"] += 1
        n["cost"] += sum(receipt.get("cost_microusd", 0) for receipt in one.receipts)
        n["involved"] += bool(one.knowing)
        n["confirmed"] += confirmed
        n["resolved"] += confirmed or assumed
        n["escalated"] += bool(one.times["escalation.opened"])
        n["closed"] += bool(one.times["conversation.closed"])
        n["back"] += one.came_back()
        n["rated"] += one.rating is not None
        n["good"] += one.rating in (4, 5)
        n["questions"] += len(one.questions)
        n["gaps"] += one.questions.count(False)
        for name, duration in one.durations(confirmed or assumed):
            durations[name].append(duration)
    return {
        "conversations": n["all"],
        "ai_involvement": ratio(n["involved"], n["all"]),
        "resolution_rate": ratio(n["resolved"], n["involved"]),
        "confirmed_rate": ratio(n["confirmed"], n["involved"]),
        "automation_rate": ratio(n["resolved"], n["all"]),
        "escalation_rate": ratio(n["escalated"], n["all"]),
        "reopen_rate": ratio(n["back"], n["closed"]),
        "csat": ratio(n["good"], n["rated"]),
        "csat_response_rate": ratio(n["rated"], n["all"]),
        "knowledge_gap_rate": ratio(n["gaps"], n["questions"]),
        "cost_per_conversation": ratio(n["cost"], n["all"] * 10**6),
        "cost_per_resolution": ratio(n["cost"], n["resolved"] * 10**6),
        **{
            f"{name}_p{percent}": at_most(durations[name], percent)
            for name in DURATIONS
            for percent in (50, 90, 99)
        },
    }


def reasons_of(told: Iterable[Told]) -> Counter:
    return Counter(one.of("escalation.opened")[0]["reason"] for one in told if one.of("escalation.opened"))


def people_of(told: Iterable[Told]) -> dict[str, Counter]:
    """Replies, claims, resolutions and ratings by person: a reply is of whoever had the conversation last."""
    found = defaultdict(Counter)
    for one in told:
        holder, writers, holders = "", set(), set()
        for event in one.events:
            name, data = event.type.removeprefix("agent."), event.data
            if name in ("conversation.taken_over", "escalation.claimed"):
                holder = data.get("agent") or data.get("claimed_by")
                holders.add(holder)
            if name == "escalation.claimed":
                found[holder]["claims"] += 1
            if name == "message.sent" and data["author"] == "agent" and holder:
                found[holder]["replies"] += 1
                writers.add(holder)
            if name == "escalation.resolved" and data["resolved_by"] in holders:
                found[data["resolved_by"]]["resolutions"] += 1
        for person in writers:
            found[person]["rated"] += one.rating is not None
            found[person]["rated_good"] += one.rating in (4, 5)
    return found


def ratio(part: int, whole: int) -> Fraction | None:
    return Fraction(part, whole) if whole else None


def at_most(found: list[dt.timedelta], percent: int) -> int | None:
    """The smallest edge that so many durations do not exceed."""
    ms = [duration // dt.timedelta(milliseconds=1) for duration in found]
    if not ms:
        return None
    reached = [edge for edge in EDGES_MS if sum(d <= edge for d in ms) * 100 >= percent * len(ms)]
    return reached[0] if reached else EDGES_MS[-1]


def differences(values: dict, expected: dict) -> list[str]:
    """Name the figures that are not the same; decimals are told to a millionth."""
    wrong = []
    for key, value in values.items():
        same = value is None and expected[key] is None
        if value is not None and expected[key] is not None:
            same = abs(Fraction(value) - expected[key]) <= Fraction(1, 2_000_000)
        if not same:
            wrong.append(f"{key}: {value}, expected {expected[key]}")
    return wrong


def _first(name: str, since: dt.datetime, moments: list[dt.datetime]) -> Iterator[tuple[str, dt.timedelta]]:
    later = [moment for moment in moments if moment >= since]
    if later:
        yield name, min(later) - since
