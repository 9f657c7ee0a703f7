"""What the router decided, and whether it was right; its other pages are routing's own."""

from django.http import HttpResponse
from django.shortcuts import render

from apps.conversations import selectors
from apps.conversations.contracts import DecisionPage, DecisionQuery
from apps.conversations.forms import CHANNEL_LABELS, DecisionSearch
from apps.conversations.pages.conversations import intents_to_choose
from apps.conversations.pages.histogram import draw_confidence
from apps.conversations.pages.shown import show_receipt
from apps.routing.services import list_intent_names
from apps.tenants.dashboard import MemberRequest, member_page
from apps.tenants.selectors import get_time_zone


@member_page(read="read:conversations")
def show_decisions(request: MemberRequest) -> HttpResponse:
    """List the latest replies with their route, and how sure the router was."""
    known = selectors.list_known_intents(tenant=request.tenant)
    names = sorted({*list_intent_names(tenant=request.tenant), *known})
    form = DecisionSearch(request.GET, intents=names, time_zone=get_time_zone(tenant=request.tenant))
    page, query = DecisionPage(items=[], next_cursor="", is_first=True), DecisionQuery()
    if form.is_valid():
        query = form.query()
        page = selectors.list_decisions(
            tenant=request.tenant, query=query, cursor=request.GET.get("cursor", "")
        )
    counts = selectors.count_confidence(tenant=request.tenant, query=query)
    context = {
        "form": form,
        "page": page,
        "rows": [(row, show_receipt(row.reply.receipt), CHANNEL_LABELS[row.channel]) for row in page.items],
        "histogram": draw_confidence(counts),
        "is_filtered": any(request.GET.get(name) for name in form.fields),
        "intents": intents_to_choose(request),
    }
    return render(request, "conversations/decisions.html", context, status=422 if form.errors else 200)
