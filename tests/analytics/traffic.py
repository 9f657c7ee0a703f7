"""Generated conversations as their events, delivered as a consumer does: doubled and out of order."""

import datetime as dt
import random
import uuid

from apps.analytics.handlers import on_events
from apps.events.contracts import Envelope
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef

BEGIN = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
AS_OF = dt.datetime(2026, 4, 1, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
REASONS = ["asked for a person", "low confidence", "complaint"]
PEOPLE = [f"user:{uuid.UUID(int=number)}" for number in (1, 2, 3)]


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


class Teller:
    """Tells one conversation's events, each later than the one before."""

    def __init__(self, dice: random.Random, tenant: TenantRef) -> None:
        self.dice, self.tenant, self.id = dice, tenant, uuid.uuid4()
        self.at = BEGIN + dt.timedelta(minutes=dice.randrange(60 * 24 * 25))
        self.channel = dice.choice(["widget", "api", "email"])
        self.events: list[Envelope] = []

    def tell(self, kind: str, **data: object) -> None:
        self.at += dt.timedelta(microseconds=1)
        self.events.append(event(self.tenant, self.id, kind, self.at, **data))

    def wait(self, *, most_ms: int) -> None:
        self.at += dt.timedelta(milliseconds=self.dice.randrange(40, most_ms))

    def ask(self) -> None:
        self.tell("message.received", channel=self.channel, text="hello", seq=1)
        self.wait(most_ms=9000)
        if self.dice.random() < 0.85:
            receipt = {
                "knows": self.dice.random() < 0.7,
                "intent": self.dice.choice(["faq", "returns", "smalltalk", None]),
                "provider": self.dice.choice(["extractive", "rules"]),
                "cost_microusd": self.dice.randrange(0, 5000),
            }
            self.tell("run.completed", receipt=receipt)
            self.tell("message.sent", author="ai")
        self.wait(most_ms=4_000_000)

    def escalate(self) -> None:
        self.tell("escalation.opened", reason=self.dice.choice(REASONS))
        self.wait(most_ms=90_000_000)
        for person in self.dice.sample(PEOPLE, self.dice.randrange(3)):
            self.tell("conversation.taken_over", agent=person)
            self.tell("escalation.claimed", claimed_by=person)
            for _ in range(self.dice.randrange(3)):
                self.wait(most_ms=600_000)
                self.tell("message.sent", author="agent")
            if self.dice.random() < 0.7:
                self.tell("escalation.resolved", resolved_by=person, resolution="done")

    def close(self) -> None:
        self.at += HOUR
        self.tell("conversation.closed", actor="x")
        if self.dice.random() < 0.4:
            self.at += dt.timedelta(days=self.dice.randrange(1, 12))
            self.tell("conversation.reopened")
            self.tell("message.received", channel="api", text="again", seq=9)


def make_conversation(dice: random.Random, tenant: TenantRef) -> list[Envelope]:
    teller = Teller(dice, tenant)
    for _ in range(dice.randrange(1, 5)):
        teller.ask()
    if dice.random() < 0.4:
        teller.escalate()
    if dice.random() < 0.5:
        teller.close()
    for _ in range(dice.randrange(3)):
        teller.tell("conversation.rated", score=dice.randrange(1, 6), comment="")
    return teller.events


def make_traffic(dice: random.Random, tenant: TenantRef, conversations: int) -> list[Envelope]:
    return [each for _ in range(conversations) for each in make_conversation(dice, tenant)]


def deliver(dice: random.Random, tenant: TenantRef, events: list[Envelope]) -> None:
    """Deliver with a tenth twice and in another order, so most of them late."""
    sent = events + dice.sample(events, len(events) // 10)
    dice.shuffle(sent)
    with in_tenant(tenant):
        for envelope in sent:
            on_events([envelope])
