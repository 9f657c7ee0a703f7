"""Every KPI twice: from the read models, and from the raw events by other code. The difference is 0."""

import datetime as dt
import random
import uuid
from collections import defaultdict
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest

from apps.analytics import selectors, services
from apps.analytics.facts import EDGES_MS
from apps.analytics.handlers import on_event
from apps.analytics.kpis import KPIS
from apps.analytics.models import ConversationFact, KpiBucket
from apps.events.contracts import Envelope
from apps.tenants.company import update_settings
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef

BEGIN = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
AS_OF = dt.datetime(2026, 4, 1, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
DURATIONS = ("first_response", "first_response_ai", "first_response_human", "handoff", "resolution")
PERIODS = [((2026, 3, 1), (2026, 3, 31)), ((2026, 3, 8), (2026, 3, 9)), ((2026, 3, 15), (2026, 3, 15))]
REASONS = ["asked for a person", "low confidence", "complaint"]


def event(tenant: TenantRef, conversation: uuid.UUID, kind: str, at: dt.datetime, **data: object) -> Envelope:
    return Envelope(
        id=uuid.uuid4(),
        type=f"agent.{kind}",
        version=1,
        tenant_id=tenant.id,
        occurred_at=at,
        data=data,
        conversation_id=conversation,
    )


def make_conversation(dice: random.Random, tenant: TenantRef) -> list[Envelope]:
    conversation, at, events = uuid.uuid4(), BEGIN + dt.timedelta(minutes=dice.randrange(60 * 24 * 25)), []

    def tell(kind: str, **data: object) -> None:
        events.append(event(tenant, conversation, kind, at, **data))

    for _ in range(dice.randrange(1, 5)):
        tell("message.received", channel=dice.choice(["widget", "api"]), text="hello", seq=1)
        at += dt.timedelta(milliseconds=dice.randrange(40, 9000))
        if dice.random() < 0.85:
            receipt = {
                "knows": dice.random() < 0.7,
                "intent": dice.choice(["faq", "smalltalk", None]),
                "provider": dice.choice(["extractive", "rules"]),
                "cost_microusd": dice.randrange(0, 5000),
            }
            tell("run.completed", receipt=receipt)
            tell("message.sent", author="ai")
        at += dt.timedelta(seconds=dice.randrange(1, 4000))
    if dice.random() < 0.4:
        tell("escalation.opened", reason=dice.choice(REASONS))
        at += dt.timedelta(seconds=dice.randrange(1, 90_000))
        if dice.random() < 0.7:
            tell("message.sent", author="agent")
    if dice.random() < 0.5:
        at += HOUR
        tell("conversation.closed", actor="x")
        if dice.random() < 0.4:
            at += dt.timedelta(days=dice.randrange(1, 12))
            tell("conversation.reopened")
            tell("message.received", channel="widget", text="again", seq=9)
    for _ in range(dice.randrange(3)):
        at += dt.timedelta(seconds=5)
        tell("conversation.rated", score=dice.randrange(1, 6), comment="")
    return events


def deliver(dice: random.Random, tenant: TenantRef, events: list[Envelope]) -> None:
    """Deliver with a tenth twice and in another order."""
    sent = events + dice.sample(events, len(events) // 10)
    dice.shuffle(sent)
    for envelope in sent:
        with in_tenant(tenant):
            on_event(envelope)


def oracle(events: list[Envelope], start: dt.datetime, end: dt.datetime, window: dt.timedelta) -> dict:
    """KPIs from raw events, written without any of the product's code."""
    by_conversation = defaultdict(list)
    for each in sorted(events, key=lambda e: e.occurred_at):
        by_conversation[each.conversation_id].append(each)
    n = defaultdict(int)
    durations = defaultdict(list)
    for told in by_conversation.values():
        times = defaultdict(list)
        for each in told:
            name = each.type.removeprefix("agent.")
            times[f"sent {each.data['author']}" if name == "message.sent" else name].append(each.occurred_at)
        first = times["message.received"][0]
        if not start <= first < end:
            continue
        n["all"] += 1
        answers = [e for e in told if e.type.endswith("run.completed")]
        n["cost"] += sum(e.data["receipt"]["cost_microusd"] for e in answers)
        knowing = [e.occurred_at for e in answers if e.data["receipt"]["knows"]]
        asked = [
            e.data["receipt"]["knows"]
            for e in answers
            if e.data["receipt"]["intent"] != "smalltalk" and e.data["receipt"]["provider"] != "rules"
        ]
        n["questions"], n["gaps"] = n["questions"] + len(asked), n["gaps"] + asked.count(False)
        ratings = [e.data["score"] for e in told if e.type.endswith("rated")]
        human, escalated = times["sent agent"], times["escalation.opened"]
        n["involved"] += bool(knowing)
        n["escalated"] += bool(escalated)
        n["rated"] += bool(ratings)
        n["good"] += bool(ratings) and ratings[-1] >= 4
        confirmed = bool(knowing) and not human and bool(ratings) and ratings[-1] >= 4
        assumed = (
            bool(knowing)
            and not human
            and not escalated
            and not confirmed
            and not (ratings and ratings[-1] <= 2)
            and times["message.received"][-1] <= knowing[-1]
            and knowing[-1] + window <= AS_OF
        )
        n["confirmed"] += confirmed
        n["resolved"] += confirmed or assumed
        closed, back = times["conversation.closed"], times["conversation.reopened"]
        n["closed"] += bool(closed)
        n["reopened"] += any(c < b <= c + dt.timedelta(days=7) for c in closed for b in back)
        wait = lambda since, moments: [min(m for m in moments if m >= since) - since] if moments else []  # noqa: E731
        durations["first_response"] += wait(first, times["sent ai"] + human)
        durations["first_response_ai"] += wait(first, times["sent ai"])
        durations["first_response_human"] += wait(first, human)
        if escalated:
            durations["handoff"] += wait(escalated[0], [m for m in human if m >= escalated[0]])
        if closed:
            durations["resolution"] += wait(first, closed)
        elif confirmed or assumed:
            durations["resolution"] += [knowing[-1] - first]
    return {
        "conversations": n["all"],
        "ai_involvement": ratio(n["involved"], n["all"]),
        "resolution_rate": ratio(n["resolved"], n["involved"]),
        "confirmed_rate": ratio(n["confirmed"], n["involved"]),
        "automation_rate": ratio(n["resolved"], n["all"]),
        "escalation_rate": ratio(n["escalated"], n["all"]),
        "reopen_rate": ratio(n["reopened"], n["closed"]),
        "csat": ratio(n["good"], n["rated"]),
        "csat_response_rate": ratio(n["rated"], n["all"]),
        "knowledge_gap_rate": ratio(n["gaps"], n["questions"]),
        "cost_per_conversation": ratio(n["cost"], n["all"] * 10**6),
        "cost_per_resolution": ratio(n["cost"], n["resolved"] * 10**6),
        **{
            f"{name}_p{percent}": at_most(durations[name], percent)
            for name in (
                "first_response",
                "first_response_ai",
                "first_response_human",
                "handoff",
                "resolution",
            )
            for percent in (50, 90, 99)
        },
    }


def ratio(part: int, whole: int) -> Fraction | None:
    return Fraction(part, whole) if whole else None


def at_most(found: list[dt.timedelta], percent: int) -> int | None:
    """The smallest edge that so many durations do not exceed."""
    ms = [d // dt.timedelta(milliseconds=1) for d in found]
    if not ms:
        return None
    reached = [edge for edge in EDGES_MS if sum(d <= edge for d in ms) * 100 >= percent * len(ms)]
    return reached[0] if reached else EDGES_MS[-1]


def assert_same(values: dict, expected: dict) -> None:
    for kpi in KPIS:
        mine, theirs = values[kpi.key], expected[kpi.key]
        if mine is None or theirs is None:
            assert mine is theirs, kpi.key
        else:
            assert abs(Fraction(mine) - theirs) <= Fraction(1, 2_000_000), kpi.key


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "America/St_Johns"])
def test_read_models_and_raw_events_agree(acme: TenantRef, globex: TenantRef, seed: int, zone: str):
    dice = random.Random(seed)
    update_settings(tenant=acme, name="Acme", time_zone=zone, silence_hours=48, actor="test")
    events = [e for _ in range(40) for e in make_conversation(dice, acme)]
    deliver(dice, acme, events)
    deliver(dice, globex, [e for _ in range(5) for e in make_conversation(dice, globex)])
    services.settle_silences(tenant=acme, as_of=AS_OF)
    for first, last in [
        ((2026, 3, 1), (2026, 3, 31)),
        ((2026, 3, 8), (2026, 3, 9)),
        ((2026, 3, 15), (2026, 3, 15)),
    ]:
        span = selectors.span_of(tenant=acme, first=dt.date(*first), last=dt.date(*last))
        assert span.start == dt.datetime(*first, tzinfo=ZoneInfo(zone))
        report = selectors.read_kpis(tenant=acme, span=span)
        assert_same(report.values, oracle(events, span.start, span.end, 48 * HOUR))
        assert_same(report.before, oracle(events, span.before.start, span.before.end, 48 * HOUR))
        days = sum(values["conversations"] for _, values in report.steps)
        assert days == report.values["conversations"]


def test_a_rebuild_gives_the_same_and_drops_the_old(acme: TenantRef, globex: TenantRef):
    dice = random.Random(7)
    events = [e for _ in range(25) for e in make_conversation(dice, acme)]
    deliver(dice, acme, events)
    deliver(dice, globex, make_conversation(dice, globex))
    services.settle_silences(tenant=acme, as_of=AS_OF)
    rebuilt = services.rebuild_read_models(tenant=acme, as_of=AS_OF)
    assert (rebuilt.conversations, rebuilt.differences) == (25, [])
    with in_tenant(acme):
        assert set(ConversationFact.objects.values_list("generation", flat=True)) == {2}
        assert set(KpiBucket.objects.values_list("generation", flat=True)) == {2}
    more = make_conversation(dice, acme)
    deliver(dice, acme, more)
    span = selectors.span_of(tenant=acme, first=dt.date(2026, 3, 1), last=dt.date(2026, 3, 31))
    services.settle_silences(tenant=acme, as_of=AS_OF)
    values = selectors.read_kpis(tenant=acme, span=span).values
    assert_same(values, oracle(events + more, span.start, span.end, 72 * HOUR))


def test_a_rebuild_finds_what_was_tampered_with(acme: TenantRef):
    deliver(random.Random(1), acme, make_conversation(random.Random(1), acme))
    with in_tenant(acme):
        KpiBucket.objects.filter(measure="conversations").update(amount=5)
    assert not services.rebuild_read_models(tenant=acme, as_of=AS_OF).is_equal
    assert services.rebuild_read_models(tenant=acme, as_of=AS_OF).is_equal


def test_a_customer_who_comes_back_takes_the_resolution_back(acme: TenantRef):
    conversation = uuid.uuid4()
    receipt = {"knows": True, "intent": "faq", "provider": "extractive", "cost_microusd": 10}
    told = [
        event(acme, conversation, "message.received", BEGIN, channel="widget", text="a", seq=1),
        event(acme, conversation, "run.completed", BEGIN + HOUR, receipt=receipt),
        event(acme, conversation, "message.sent", BEGIN + HOUR, author="ai"),
    ]
    deliver(random.Random(0), acme, told)
    span = selectors.span_of(tenant=acme, first=dt.date(2026, 3, 1), last=dt.date(2026, 3, 31))
    services.settle_silences(tenant=acme, as_of=BEGIN + 72 * HOUR)
    resolved = lambda: selectors.read_kpis(tenant=acme, span=span).values["resolution_rate"]  # noqa: E731
    with in_tenant(acme):
        ConversationFact.objects.update(settles_at=BEGIN + 73 * HOUR)
    services.settle_silences(tenant=acme, as_of=BEGIN + 73 * HOUR)
    assert resolved() == 1
    back = event(
        acme, conversation, "message.received", BEGIN + 100 * HOUR, channel="widget", text="b", seq=3
    )
    with in_tenant(acme):
        on_event(back)
    assert resolved() == 0
