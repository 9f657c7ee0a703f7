"""Fold a conversation's events into its facts, and those into measures; pure, so that order cannot matter.

The definitions are written down in docs/analytics.md.
"""

import datetime as dt
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

BUCKET_S = 900
GOOD, BAD = 4, 2  # ratings from GOOD up confirm a resolution, ratings up to BAD deny one
REOPEN_WINDOW = dt.timedelta(days=7)
NO_QUESTIONS = {"smalltalk", "sales_lead"}
REASON_CHARS = 60
# Upper edges of the histograms of durations, in milliseconds; what is longer falls behind the last.
EDGES_MS = (
    100, 200, 300, 500, 750, 1_000, 1_500, 2_000, 3_000, 5_000, 8_000, 13_000, 20_000, 30_000, 45_000, 60_000,
    90_000, 120_000, 180_000, 300_000, 600_000, 900_000, 1_800_000, 3_600_000, 7_200_000, 14_400_000,
    28_800_000, 86_400_000, 172_800_000, 604_800_000,
)  # fmt: skip

SAID, SENT, ANSWERED = "agent.message.received", "agent.message.sent", "agent.run.completed"
ESCALATED, CLOSED = "agent.escalation.opened", "agent.conversation.closed"
REOPENED, RATED = "agent.conversation.reopened", "agent.conversation.rated"
TAKEN, CLAIMED = "agent.conversation.taken_over", "agent.escalation.claimed"
RESOLVED = "agent.escalation.resolved"
TYPES = (SAID, SENT, ANSWERED, ESCALATED, CLOSED, REOPENED, RATED, TAKEN, CLAIMED, RESOLVED)


class Told(Protocol):
    """An event as it is archived."""

    type: str
    occurred_at: dt.datetime
    data: dict[str, Any]


@dataclass
class Facts:
    """What a conversation's events say; times are the earliest or the latest of their kind."""

    channels: list[tuple[dt.datetime, str]] = field(default_factory=list)
    intents: list[tuple[bool, dt.datetime, str]] = field(default_factory=list)
    said: list[dt.datetime] = field(default_factory=list)
    ai_sent: list[dt.datetime] = field(default_factory=list)
    human_sent: list[dt.datetime] = field(default_factory=list)
    knew: list[dt.datetime] = field(default_factory=list)
    questions: int = 0
    gaps: int = 0
    cost_microusd: int = 0
    escalated: list[tuple[dt.datetime, str]] = field(default_factory=list)
    closed: list[dt.datetime] = field(default_factory=list)
    reopened: list[dt.datetime] = field(default_factory=list)
    ratings: list[tuple[dt.datetime, int]] = field(default_factory=list)
    taken: list[tuple[dt.datetime, str]] = field(default_factory=list)  # by which person
    claimed: list[tuple[dt.datetime, str]] = field(default_factory=list)
    resolved: list[tuple[dt.datetime, str]] = field(default_factory=list)

    @property
    def channel(self) -> str:
        return min(self.channels)[1] if self.channels else ""

    @property
    def intent(self) -> str:
        """Return what the first question was about, else the first thing said."""
        return min(self.intents)[2] if self.intents else ""

    @property
    def started_at(self) -> dt.datetime | None:
        return min(self.said, default=None)

    @property
    def rating(self) -> int | None:
        return max(self.ratings)[1] if self.ratings else None

    @property
    def first_escalation(self) -> tuple[dt.datetime, str] | None:
        return min(self.escalated, default=None)

    @property
    def is_reopened(self) -> bool:
        return any(
            closed < back <= closed + REOPEN_WINDOW for closed in self.closed for back in self.reopened
        )

    def outcome(self, *, as_of: dt.datetime, window: dt.timedelta) -> str:
        """Return confirmed, assumed or an empty string, as it stands at a moment."""
        if not self.knew or self.human_sent:
            return ""
        if self.rating is not None and self.rating >= GOOD:
            return "confirmed"
        settles_at = self.settles_at(window=window)
        return "assumed" if settles_at is not None and settles_at <= as_of else ""

    def settles_at(self, *, window: dt.timedelta) -> dt.datetime | None:
        """Return when silence after the last answer counts as a resolution, None where it never will."""
        if not self.knew or self.human_sent or self.escalated:
            return None
        if self.rating is not None and self.rating <= BAD:
            return None
        last = max(self.knew)
        return None if max(self.said, default=last) > last else last + window


def fold(events: Iterable[Told]) -> Facts:
    """Return the facts of one conversation's events, in whatever order they come."""
    facts = Facts()
    for event in events:
        _take(facts, event)
    return facts


def _take(facts: Facts, event: Told) -> None:
    at, data = event.occurred_at, event.data
    match event.type:
        case "agent.message.received":
            facts.said.append(at)
            facts.channels.append((at, str(data.get("channel", ""))))
        case "agent.message.sent" if data.get("author") in ("ai", "agent"):
            (facts.ai_sent if data["author"] == "ai" else facts.human_sent).append(at)
        case "agent.run.completed":
            _take_answer(facts, at, data)
        case "agent.escalation.opened":
            facts.escalated.append((at, str(data.get("reason", ""))[:REASON_CHARS]))
        case "agent.conversation.closed":
            facts.closed.append(at)
        case "agent.conversation.reopened":
            facts.reopened.append(at)
        case "agent.conversation.rated":
            facts.ratings.append((at, int(data["score"])))
        case _:
            _take_person(facts, event)


def _take_person(facts: Facts, event: Told) -> None:
    at, data = event.occurred_at, event.data
    match event.type:
        case "agent.conversation.taken_over":
            facts.taken.append((at, str(data.get("agent", ""))))
        case "agent.escalation.claimed":
            facts.claimed.append((at, str(data.get("claimed_by", ""))))
        case "agent.escalation.resolved":
            facts.resolved.append((at, str(data.get("resolved_by", ""))))


def _take_answer(facts: Facts, at: dt.datetime, data: dict[str, Any]) -> None:
    facts.cost_microusd += int(data.get("cost_microusd", 0))
    if data.get("intent"):
        facts.intents.append((not data.get("is_question"), at, str(data["intent"])))
    if data.get("knows"):
        facts.knew.append(at)
    if data.get("is_question"):
        facts.questions += 1
        facts.gaps += not data.get("knows")


def measure(facts: Facts, *, as_of: dt.datetime, window: dt.timedelta) -> Counter[str]:
    """Return what a conversation adds to the bucket in which it began; nothing before a customer wrote."""
    sums: Counter[str] = Counter()
    start = facts.started_at
    if start is None:
        return sums
    outcome = facts.outcome(as_of=as_of, window=window)
    sums["conversations"] = 1
    sums["messages"] = len(facts.said)
    sums["ai_involved"] = bool(facts.knew)
    sums["confirmed"], sums["assumed"] = outcome == "confirmed", outcome == "assumed"
    sums["questions"], sums["gaps"] = facts.questions, facts.gaps
    sums["cost_microusd"] = facts.cost_microusd
    sums["closed"], sums["reopened"] = bool(facts.closed), facts.is_reopened
    if facts.rating is not None:
        sums["rated"], sums["rated_good"] = 1, facts.rating >= GOOD
    if facts.first_escalation is not None:
        sums["escalated"] = 1
        sums[f"reason:{facts.first_escalation[1]}"] = 1
    for name, duration_ms in _durations(facts, outcome, start).items():
        sums[f"{name}:count"], sums[f"{name}:sum_ms"] = 1, duration_ms
        sums[f"{name}:le{bisect_left(EDGES_MS, duration_ms):02d}"] = 1
    return Counter({name: int(amount) for name, amount in sums.items() if amount > 0})


def first_response_ms(facts: Facts) -> int | None:
    """Return how long the customer waited for the first answer by anybody."""
    start = facts.started_at
    return _wait_ms(start, [*facts.ai_sent, *facts.human_sent]) if start else None


def _durations(facts: Facts, outcome: str, start: dt.datetime) -> dict[str, int]:
    found = {
        "first_response": first_response_ms(facts),
        "first_response_ai": _wait_ms(start, facts.ai_sent),
        "first_response_human": _wait_ms(start, facts.human_sent),
    }
    if facts.first_escalation is not None:
        found["handoff"] = _wait_ms(facts.first_escalation[0], facts.human_sent)
    if facts.closed:
        found["resolution"] = _wait_ms(start, facts.closed)
    elif outcome:
        found["resolution"] = _wait_ms(start, [max(facts.knew)])
    return {name: duration_ms for name, duration_ms in found.items() if duration_ms is not None}


def _wait_ms(since: dt.datetime, moments: list[dt.datetime]) -> int | None:
    later = [moment for moment in moments if moment >= since]
    return (min(later) - since) // dt.timedelta(milliseconds=1) if later else None


def bucket_start(moment: dt.datetime) -> dt.datetime:
    """Return the start of the 15-minute UTC bucket that holds a moment: every zone's midnight begins one."""
    seconds = int(moment.timestamp())
    return dt.datetime.fromtimestamp(seconds - seconds % BUCKET_S, dt.UTC)
