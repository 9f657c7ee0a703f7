"""The list of conversations, and what was said in one."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from apps.conversations import selectors, services
from apps.conversations.contracts import ConversationPage
from apps.conversations.forms import CHANNEL_LABELS, STATUS_LABELS, ConversationSearch
from apps.conversations.pages.people import agent_of
from apps.conversations.pages.shown import show_entries
from apps.crm.selectors import get_customer
from apps.resilience.errors import NotFoundError
from apps.routing.services import list_intent_names
from apps.tenants.contracts import TenantRef
from apps.tenants.dashboard import MemberRequest, member_page, notify
from apps.tenants.selectors import get_time_zone

MAX_SEQ = 2**31 - 1
NOBODY = "Visitor"


@member_page(read="read:conversations")
def show_conversations(request: MemberRequest) -> HttpResponse:
    """Search and list conversations."""
    form = read_search(request)
    page = ConversationPage(items=[], next_cursor="", is_first=True)
    if form.is_valid():
        page = selectors.list_conversations(
            tenant=request.tenant, query=form.query(), cursor=request.GET.get("cursor", "")
        )
    context = {
        "form": form,
        "page": page,
        "is_filtered": any(request.GET.get(name) for name in form.fields),
        "filters": request.GET.urlencode(),
        "statuses": STATUS_LABELS,
        "channels": CHANNEL_LABELS,
    }
    return render(request, "conversations/conversations.html", context, status=422 if form.errors else 200)


@member_page(read="read:conversations")
def show_conversation(request: MemberRequest, conversation_id: UUID) -> HttpResponse:
    """Show the last messages; for htmx, those before `?before`."""
    before = read_seq(request, "before")
    conversation = selectors.get_conversation(tenant=request.tenant, conversation_id=conversation_id)
    customer = customer_of(request.tenant, conversation.customer_id)
    transcript = selectors.read_transcript(
        tenant=request.tenant, conversation_id=conversation_id, before_seq=before
    )
    context = {
        "conversation": conversation,
        "customer": customer,
        "transcript": transcript,
        "entries": show_entries(transcript.entries, customer_name=customer["name"]),
        "status": STATUS_LABELS[conversation.status],
        "channel": CHANNEL_LABELS[conversation.channel],
        "intents": intents_to_choose(request),
        "is_older": before is not None,
        "holder": selectors.name_people([conversation.agent]).get(conversation.agent, ""),
    }
    template = "conversations/_entries.html" if request.htmx else "conversations/conversation.html"
    return render(request, template, context)


@member_page(write="write:conversations", post_only=True)
def correct_reply_intent(request: MemberRequest, conversation_id: UUID, number: int) -> HttpResponse:
    """Keep what the question behind an AI's reply was really about, as an example for the router."""
    corrected = services.correct_intent(
        tenant=request.tenant,
        conversation_id=conversation_id,
        seq=number,
        intent=request.POST.get("intent", ""),
        actor=agent_of(request),
    )
    if not request.htmx:
        notify(request, f"Noted: this was {corrected.corrected_intent}. The router learns it when trained.")
        return redirect("conversation", conversation_id)
    context = {"message": corrected, "intents": intents_to_choose(request)}
    return render(request, "conversations/_correction.html", context)


def read_search(request: MemberRequest) -> ConversationSearch:
    """Return the search that the address asks for; its days are those of the company's time zone."""
    return ConversationSearch(
        request.GET,
        intents=selectors.list_known_intents(tenant=request.tenant),
        time_zone=get_time_zone(tenant=request.tenant),
    )


def intents_to_choose(request: MemberRequest) -> list[str]:
    """Return the router's intents, for who may correct it."""
    return list_intent_names(tenant=request.tenant) if request.principal.may("write:conversations") else []


def customer_of(tenant: TenantRef, customer_id: UUID | None) -> dict[str, str]:
    """Return how a customer is called and written to."""
    try:
        customer = get_customer(tenant=tenant, customer_id=customer_id) if customer_id else None
    except NotFoundError:
        customer = None
    if customer is None:
        return {"name": NOBODY, "email": ""}
    name = customer.name or customer.email or customer.external_id or "Customer"
    return {"name": name, "email": customer.email or ""}


def read_seq(request: HttpRequest, name: str) -> int | None:
    """Read a message's number from the address; None for what is none."""
    given = request.GET.get(name, "")
    if not (given.isascii() and given.isdigit()) or len(given) > 10:
        return None
    return min(int(given), MAX_SEQ)
