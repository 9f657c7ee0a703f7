"""The human inbox: its queue, one escalation with its conversation, and what is done there."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

from django import forms
from django.conf import settings
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from apps.conversations import selectors, services
from apps.conversations.contracts import EscalationStatus, InboxTicket, QueueItem
from apps.conversations.forms import NoteForm, ReplyForm, ResolveForm
from apps.conversations.pages.conversations import customer_of, intents_to_choose, read_seq
from apps.conversations.pages.people import agent_of, naming_people
from apps.conversations.pages.shown import show_entries
from apps.resilience.errors import InvalidInput
from apps.tenants.context import in_tenant
from apps.tenants.dashboard import MemberRequest, add_errors, member_page

READ, WRITE = "read:conversations", "write:conversations"
SHOWS = {"all": "All", "unclaimed": "Unclaimed", "mine": "Mine"}
WAITING = (EscalationStatus.OPEN, EscalationStatus.CLAIMED)


@member_page(read=READ)
def show_inbox(request: MemberRequest) -> HttpResponse:
    """Show who waits for a person; for htmx the queue alone."""
    template = "conversations/_queue.html" if request.htmx else "conversations/inbox.html"
    return render(request, template, _queue(request))


@member_page(read=READ)
def show_item(request: MemberRequest, escalation_id: UUID) -> HttpResponse:
    """Show an escalation with its conversation, beside the queue."""
    context = _panel(request, escalation_id)
    if request.htmx:
        return render(request, "conversations/_panel.html", context)
    return render(request, "conversations/inbox.html", _queue(request) | context)


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
        "is_news": True,
        "intents": intents_to_choose(request),
        **_standing(request, item),
    }
    return render(request, "conversations/_news.html", context)


@member_page(read=READ)
def issue_ticket(request: MemberRequest) -> HttpResponse:
    """Give the page what opens its socket."""
    ticket = InboxTicket(
        tenant_id=request.tenant.id,
        agent=agent_of(request),
        name=request.user.name or request.user.email.partition("@")[0],
        may_write=request.principal.may(WRITE),
    )
    return JsonResponse(
        {"url": f"{settings.REALTIME_URL}/ws/inbox/", "ticket": services.issue_inbox_ticket(ticket)}
    )


@require_POST
@member_page(write=WRITE)
def claim_item(request: MemberRequest, escalation_id: UUID) -> HttpResponse:
    """Take an escalation."""
    with naming_people():
        services.claim_escalation(tenant=request.tenant, escalation_id=escalation_id, agent=agent_of(request))
    return _answer(request, escalation_id)


@require_POST
@member_page(write=WRITE)
def release_item(request: MemberRequest, escalation_id: UUID) -> HttpResponse:
    """Hand the conversation back to the AI; the escalation waits in the queue again."""
    item = selectors.get_queue_item(tenant=request.tenant, escalation_id=escalation_id)
    with naming_people():
        services.release_conversation(
            tenant=request.tenant, conversation_id=item.conversation.id, agent=agent_of(request)
        )
    return _answer(request, escalation_id)


@require_POST
@member_page(write=WRITE)
def resolve_item(request: MemberRequest, escalation_id: UUID) -> HttpResponse:
    """End an escalation as done."""
    selectors.get_escalation(tenant=request.tenant, escalation_id=escalation_id)
    form = ResolveForm(request.POST)
    if form.is_valid():
        with naming_people(), _at_fields(form):
            services.resolve_escalation(
                tenant=request.tenant,
                escalation_id=escalation_id,
                agent=agent_of(request),
                resolution=form.cleaned_data["resolution"],
            )
    return _answer(request, escalation_id, resolve_form=form)


@require_POST
@member_page(write=WRITE)
def reopen_item(request: MemberRequest, escalation_id: UUID) -> HttpResponse:
    """Take a resolution back."""
    with naming_people():
        services.reopen_escalation(
            tenant=request.tenant, escalation_id=escalation_id, agent=agent_of(request)
        )
    return _answer(request, escalation_id)


@require_POST
@member_page(write=WRITE)
def send_reply(request: MemberRequest, escalation_id: UUID) -> HttpResponse:
    """Write to the customer, as the person who has the conversation."""
    item = selectors.get_queue_item(tenant=request.tenant, escalation_id=escalation_id)
    form = ReplyForm(request.POST)
    if form.is_valid():
        with naming_people(), _at_fields(form):
            services.send_agent_message(
                tenant=request.tenant,
                conversation_id=item.conversation.id,
                agent=agent_of(request),
                text=form.cleaned_data["text"],
                reply_key=f"inbox:{agent_of(request)}:{item.conversation.id}:{form.cleaned_data['key']}",
            )
    return _answer(request, escalation_id, reply_form=form)


@require_POST
@member_page(write=WRITE)
def write_note(request: MemberRequest, escalation_id: UUID) -> HttpResponse:
    """Note something for colleagues."""
    item = selectors.get_queue_item(tenant=request.tenant, escalation_id=escalation_id)
    form = NoteForm(request.POST)
    if form.is_valid():
        with _at_fields(form):
            services.add_note(
                tenant=request.tenant,
                conversation_id=item.conversation.id,
                author=agent_of(request),
                text=form.cleaned_data["text"],
            )
    return _answer(request, escalation_id, note_form=form)


@require_POST
@member_page(write=WRITE)
def suggest_reply(request: MemberRequest, escalation_id: UUID) -> HttpResponse:
    """Work out what might be answered: a POST, because those run outside of a transaction."""
    suggestion = services.suggest_answer(tenant=request.tenant, escalation_id=escalation_id)
    return render(request, "conversations/_suggestion.html", {"suggestion": suggestion})


def _answer(request: MemberRequest, escalation_id: UUID, **forms_given: forms.Form) -> HttpResponse:
    """Show the conversation as it is now; with a form that was refused as it was filled in."""
    refused = {name: form for name, form in forms_given.items() if form.errors}
    if not request.htmx and not refused:
        return redirect("inbox_item", escalation_id)
    with in_tenant(request.tenant):
        context = _panel(request, escalation_id) | refused
        if not request.htmx:
            context |= _queue(request)
        template = "conversations/_panel.html" if request.htmx else "conversations/inbox.html"
        return render(request, template, context, status=422 if refused else 200)


@contextmanager
def _at_fields(form: forms.Form) -> Iterator[None]:
    """Put what a service refuses at the form's fields."""
    try:
        yield
    except InvalidInput as error:
        add_errors(form, error)


def _queue(request: MemberRequest) -> dict[str, Any]:
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
        "show": show,
        "queue": queue,
        "agent": agent,
        "people": selectors.name_people(item.escalation.claimed_by for item in page.items),
        "address": f"{reverse('inbox')}?{urlencode(kept)}",
        "filters": f"?{urlencode(kept)}",
    }


def _panel(request: MemberRequest, escalation_id: UUID) -> dict[str, Any]:
    item = selectors.get_queue_item(tenant=request.tenant, escalation_id=escalation_id)
    conversation = item.conversation
    transcript = selectors.read_transcript(tenant=request.tenant, conversation_id=conversation.id)
    return {
        **_standing(request, item),
        "conversation": conversation,
        "customer": customer_of(request.tenant, conversation.customer_id),
        "transcript": transcript,
        "entries": show_entries(transcript.entries, customer_name=item.customer_name),
        "intents": intents_to_choose(request),
        "canned": selectors.list_canned_replies(tenant=request.tenant),
        "reply_form": ReplyForm(initial={"key": uuid4()}, auto_id="reply-%s"),
        "note_form": NoteForm(auto_id="note-%s"),
        "resolve_form": ResolveForm(auto_id="resolve-%s"),
    }


def _standing(request: MemberRequest, item: QueueItem) -> dict[str, Any]:
    conversation, escalation, agent = item.conversation, item.escalation, agent_of(request)
    holder = conversation.agent or escalation.claimed_by
    may_write = request.principal.may(WRITE)
    is_waiting = escalation.status in WAITING
    return {
        "item": item,
        "escalation": escalation,
        "conversation": conversation,
        "holder": selectors.name_people([holder]).get(holder, ""),
        "is_mine": conversation.agent == agent and may_write,
        "is_waiting": is_waiting,
        "may_claim": may_write and escalation.status is EscalationStatus.OPEN and not conversation.agent,
        "may_resolve": may_write and is_waiting and escalation.claimed_by in ("", agent),
        "may_reopen": may_write and escalation.status is EscalationStatus.RESOLVED,
        "may_note": may_write,
    }
