"""The human inbox: its queue, and one escalation with its conversation."""

from dataclasses import replace
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

from django.conf import settings
from django.http import HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse

from apps.conversations import selectors, services
from apps.conversations.contracts import CannedReplyView, EscalationStatus, InboxTicket, QueueItem, fill_in
from apps.conversations.forms import HandBackForm, NoteForm, ReplyForm, ResolveForm
from apps.conversations.pages.conversations import NOBODY, customer_of, intents_to_choose, read_seq
from apps.conversations.pages.people import agent_of, name_of
from apps.conversations.pages.shown import show_entries
from apps.tenants.dashboard import MemberRequest, member_page
from apps.tenants.passes import issue_pass

READ, WRITE = "read:conversations", "write:conversations"
SHOWS = {"all": "All", "unclaimed": "Unclaimed", "mine": "Mine"}
WAITING = (EscalationStatus.OPEN, EscalationStatus.CLAIMED)


@member_page(read=READ)
def show_inbox(request: MemberRequest) -> HttpResponse:
    """Show who waits for a person; for htmx the queue alone."""
    template = "conversations/_queue.html" if request.htmx else "conversations/inbox.html"
    return render(request, template, queue_context(request))


@member_page(read=READ)
def show_item(request: MemberRequest, escalation_id: UUID) -> HttpResponse:
    """Show an escalation with its conversation, beside the queue."""
    context = panel_context(request, escalation_id)
    if request.htmx:
        return render(request, "conversations/_panel.html", context)
    return render(request, "conversations/inbox.html", queue_context(request) | context)


@member_page(read=READ)
def show_news(request: MemberRequest, escalation_id: UUID) -> HttpResponse:
    """Return what was said and noted since, and who has the conversation now."""
    item = selectors.get_queue_item(tenant=request.tenant, escalation_id=escalation_id)
    try:
        after_note = UUID(request.GET.get("after_note", ""))
    except ValueError:
        after_note = None
    entries = selectors.list_newer_entries(
        tenant=request.tenant,
        conversation_id=item.conversation.id,
        after_seq=read_seq(request, "after") or 0,
        after_note=after_note,
    )
    shown = show_entries(entries, customer_name=item.customer_name)
    context = {
        "entries": shown,
        "intents": intents_to_choose(request),
        **standing_context(request, item),
    }
    return render(request, "conversations/_news.html", context)


@member_page(read=READ)
def issue_ticket(request: MemberRequest) -> HttpResponse:
    """Give the page what opens its socket."""
    ticket = InboxTicket(
        tenant_id=request.tenant.id,
        agent=agent_of(request),
        name=name_of(request),
        may_write=request.principal.may(WRITE),
        held=issue_pass(request),
    )
    return JsonResponse(
        {"url": f"{settings.REALTIME_URL}/ws/inbox/", "ticket": services.issue_inbox_ticket(ticket)}
    )


def queue_context(request: MemberRequest) -> dict[str, Any]:
    """Return what shows the queue, as the address asks for it."""
    show = request.GET.get("show", "all")
    show = show if show in SHOWS else "all"
    queue = request.GET.get("queue", "")[:100]
    agent, cursor = agent_of(request), request.GET.get("cursor", "")
    page = selectors.list_queue(tenant=request.tenant, show=show, agent=agent, queue=queue, cursor=cursor)
    counts = selectors.count_queue(tenant=request.tenant, agent=agent)
    kept = {name: value for name, value in (("show", show), ("queue", queue), ("cursor", cursor)) if value}
    return {
        "page": page,
        "tabs": [(name, label, getattr(counts, name)) for name, label in SHOWS.items()],
        "queues": counts.queues,
        "counts": counts,
        "show": show,
        "queue": queue,
        "agent": agent,
        "people": selectors.name_people(item.escalation.claimed_by for item in page.items),
        "address": f"{reverse('inbox')}?{urlencode(kept)}",
        "filters": f"?{urlencode(kept)}",
    }


def panel_context(request: MemberRequest, escalation_id: UUID) -> dict[str, Any]:
    """Return what shows an escalation with its conversation."""
    item = selectors.get_queue_item(tenant=request.tenant, escalation_id=escalation_id)
    conversation = item.conversation
    transcript = selectors.read_transcript(tenant=request.tenant, conversation_id=conversation.id)
    customer = customer_of(request.tenant, conversation.customer_id)
    return {
        **standing_context(request, item),
        "conversation": conversation,
        "customer": customer,
        "transcript": transcript,
        "entries": show_entries(transcript.entries, customer_name=item.customer_name),
        "intents": intents_to_choose(request),
        "canned": _canned_replies(request, customer["name"]),
        "reply_form": ReplyForm(initial={"key": uuid4(), "seen": conversation.last_seq}, auto_id="reply-%s"),
        "hand_back_form": HandBackForm(initial={"key": uuid4()}, auto_id="hand-back-%s"),
        "note_form": NoteForm(auto_id="note-%s"),
        "resolve_form": ResolveForm(auto_id="resolve-%s"),
    }


def standing_context(request: MemberRequest, item: QueueItem) -> dict[str, Any]:
    """Return how an escalation stands, and what the member may do with it."""
    conversation, escalation, agent = item.conversation, item.escalation, agent_of(request)
    holder = conversation.agent or escalation.claimed_by
    may_write = request.principal.may(WRITE)
    is_waiting = escalation.status in WAITING
    is_mine = may_write and conversation.agent == agent
    return {
        "item": item,
        "escalation": escalation,
        "conversation": conversation,
        "holder": selectors.name_people([holder]).get(holder, ""),
        "is_mine": is_mine,
        "is_waiting": is_waiting,
        "may_claim": may_write and escalation.status is EscalationStatus.OPEN and not conversation.agent,
        "may_take_over": may_write and escalation.status is EscalationStatus.CLAIMED and not is_mine,
        "may_resolve": may_write and is_waiting and escalation.claimed_by in ("", agent),
        "may_reopen": may_write and escalation.status is EscalationStatus.RESOLVED,
        "may_note": may_write,
    }


def _canned_replies(request: MemberRequest, customer_name: str) -> list[CannedReplyView]:
    """Return the canned replies with their variables filled in."""
    values = {
        "customer_name": "there" if customer_name == NOBODY else customer_name,
        "agent_name": name_of(request),
        "company_name": request.membership.tenant_name,
    }
    replies = selectors.list_canned_replies(tenant=request.tenant)
    return [replace(reply, text=fill_in(reply.text, values)) for reply in replies]
