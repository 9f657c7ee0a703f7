"""Find replies by how the router decided, newest first, quick however many there are."""

import datetime as dt
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.db.models import (
    BooleanField,
    CharField,
    Count,
    ExpressionWrapper,
    F,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    UUIDField,
    Value,
)
from django.db.models.functions import Coalesce, Left

from apps.conversations.contracts import (
    Author,
    ChannelKind,
    ConfidenceCounts,
    DecisionPage,
    DecisionQuery,
    DecisionRow,
)
from apps.conversations.models import CORRECTED, ROUTED, UNSURE, Message
from apps.conversations.selectors.search import IsAnyOf
from apps.routing.contracts import ESCALATION_CONFIDENCE
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.paging import Page, cursor_after, paginate

PAGE_SIZE = 25
# What no index holds is looked for among so many rows at a time; a page may then hold few and go on.
LOOKED_THROUGH = 1_000
COUNTED = 5_000
QUESTION_CHARS = 300
TENTHS = 10


def list_decisions(*, tenant: TenantRef, query: DecisionQuery, cursor: str = "") -> DecisionPage:
    """Return one page of routed replies; it may hold few and still have a next one."""
    with in_tenant(tenant):
        rows, rest = _indexed(query), _rest(query)
        page = _look_through(rows, rest, cursor) if rest else paginate(rows, cursor, size=PAGE_SIZE)
        return DecisionPage(items=_rows_of(page.items), next_cursor=page.next_cursor, is_first=page.is_first)


def count_confidence(*, tenant: TenantRef, query: DecisionQuery) -> ConfidenceCounts:
    """Count the newest decisions that fit by their confidence."""
    with in_tenant(tenant):
        rows, rest = _indexed(query), _rest(query)
        newest = rows.order_by("-id")
        if rest:
            newest = newest.annotate(fits=ExpressionWrapper(rest, BooleanField()))
        fits = Q(fits=True) if rest else Q()
        counts = newest[:COUNTED].aggregate(
            looked_at=Count("id"),
            **{f"t{n}": Count("id", filter=_tenth(n) & fits) for n in range(TENTHS)},
        )
    return ConfidenceCounts(
        tenths=tuple(counts[f"t{n}"] for n in range(TENTHS)), looked_at=counts["looked_at"]
    )


def _tenth(number: int) -> Q:
    above = Q(confidence__gte=number / TENTHS)
    return above if number == TENTHS - 1 else above & Q(confidence__lt=(number + 1) / TENTHS)


def _indexed(query: DecisionQuery) -> QuerySet[Message]:
    """Choose by what an index holds; ids tell when they were made."""
    rows = Message.objects.filter(ROUTED)
    if query.intent:
        rows = rows.filter(intent=query.intent)
    if query.is_corrected:
        rows = rows.filter(CORRECTED)
    if query.below is not None and query.below <= ESCALATION_CONFIDENCE:
        rows = rows.filter(UNSURE, confidence__lt=query.below)
    if query.since:
        rows = rows.filter(id__gte=_first_id(query.since))
    if query.until:
        rows = rows.filter(id__lt=_first_id(query.until))
    return rows


def _rest(query: DecisionQuery) -> Q:
    """Return the conditions that no index holds."""
    rest = Q(conversation__channel=query.channel) if query.channel else Q()
    if query.is_corrected is False:
        rest &= Q(corrected_intent="")
    if query.below is not None and query.below > ESCALATION_CONFIDENCE:
        rest &= Q(confidence__lt=query.below)
    return rest


def _first_id(moment: dt.datetime) -> UUID:
    """Return the least id that was made at a moment or later."""
    return UUID(int=max(int(moment.timestamp() * 1000), 0) << 80)


def _look_through(rows: QuerySet[Message], rest: Q, cursor: str) -> Page[Message]:
    looked = paginate(rows.only("id"), cursor, size=LOOKED_THROUGH)
    ids = Value([row.id for row in looked.items], output_field=ArrayField(UUIDField()))
    among = rows.filter(rest).filter(IsAnyOf(F("id"), ids))
    found = list(among.order_by("-id")[: PAGE_SIZE + 1])
    if len(found) <= PAGE_SIZE:
        return Page(found, looked.next_cursor, looked.is_first)
    return Page(found[:PAGE_SIZE], cursor_after(found[PAGE_SIZE - 1]), looked.is_first)


def _rows_of(replies: list[Message]) -> list[DecisionRow]:
    asked = Message.objects.filter(
        conversation=OuterRef("conversation"), author=Author.CUSTOMER.value, seq__lt=OuterRef("seq")
    ).order_by("-seq")
    text = asked.annotate(start=Left("text", QUESTION_CHARS, output_field=CharField())).values("start")
    found = (
        Message.objects.filter(id__in=[reply.id for reply in replies])
        .annotate(question=Coalesce(Subquery(text.filter(run_id=OuterRef("run_id"))[:1]), Subquery(text[:1])))
        .values_list("id", "question", "conversation__channel")
    )
    context = {reply_id: (question or "", ChannelKind(channel)) for reply_id, question, channel in found}
    return [
        DecisionRow(
            reply=reply.view(),
            question=context[reply.id][0],
            channel=context[reply.id][1],
            intent=reply.intent,
            confidence=reply.confidence,
        )
        for reply in replies
    ]
