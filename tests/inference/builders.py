"""Requests as the engine makes them."""

from uuid import uuid4

from apps.inference.contracts import ChatRequest, ChatTurn, Fact, Source

RETURNS = (
    "# Returns\n"
    "You may send back anything within 30 days of delivery, unworn and in its box. "
    "Print the label from your account and drop the parcel at any DHL counter. "
    "We refund the money to your card within five days after the parcel has reached us. "
    "Gift cards cannot be returned."
)
SHIPPING = (
    "# Shipping\nStandard delivery takes three to five working days and costs 4.90 euros. "
    "Express delivery arrives on the next working day. We do not ship to post office boxes."
)


def source(text: str, *, title: str, score: float = 0.6, heading: str = "") -> Source:
    return Source(document_id=uuid4(), chunk_id=uuid4(), title=title, heading=heading, text=text, score=score)


def ask(question: str, *sources: Source, facts: tuple[Fact, ...] = (), **options: object) -> ChatRequest:
    values = {"model": "gpt-4o-mini", **options}
    return ChatRequest(turns=(ChatTurn("user", question),), sources=sources, facts=facts, **values)
