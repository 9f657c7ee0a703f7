"""What is done in the inbox: each action answers how the escalation stands, never the whole panel.

So nothing that somebody is writing meanwhile is replaced under their hands.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

from django import forms
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django_htmx.http import reswap, retarget

from apps.conversations import selectors, services
from apps.conversations.forms import HandBackForm, NoteForm, ReplyForm, ResolveForm
from apps.conversations.pages.inbox import panel_context, queue_context, standing_context
from apps.conversations.pages.people import agent_of, naming_people
from apps.resilience.errors import InvalidInput, NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.dashboard import MemberRequest, add_errors, member_page, notify
from apps.tenants.selectors import list_memberships

WRITE = "write:conversations"


@member_page(write=WRITE, post_only=True)
def claim_item(request: MemberRequest, escalation_id: UUID) -> HttpResponse:
    """Take an escalation."""
    with naming_people():
        services.claim_escalation(tenant=request.tenant, escalation_id=escalation_id, agent=agent_of(request))
    return _answer(request, escalation_id)


@member_page(write=WRITE, post_only=True)
def take_over_item(request: MemberRequest, escalation_id: UUID) -> HttpResponse:
    """Take an escalation from the colleague whom the page named; it can be given back."""
    holder = request.POST.get("holder", "")
    with naming_people():
        services.reassign_escalation(
            tenant=request.tenant, escalation_id=escalation_id, holder=holder, agent=agent_of(request)
        )
    name = selectors.name_people([holder]).get(holder, "")
    undo = f"{reverse('give_back_item', args=[escalation_id])}?{urlencode({'to': holder})}"
    return _answer(request, escalation_id, said=f"You took this over from {name}.", undo_url=undo)


@member_page(write=WRITE, post_only=True)
def give_back_item(request: MemberRequest, escalation_id: UUID) -> HttpResponse:
    """Undo a takeover: give an escalation to the member who had it."""
    to = request.GET.get("to", "")
    _require_member(request, to)
    with naming_people():
        services.reassign_escalation(
            tenant=request.tenant, escalation_id=escalation_id, holder=agent_of(request), agent=to
        )
    name = selectors.name_people([to])[to]
    return _answer(request, escalation_id, said=f"{name} has this again.")


@member_page(write=WRITE, post_only=True)
def release_item(request: MemberRequest, escalation_id: UUID) -> HttpResponse:
    """Put an escalation back into the queue, where it waits for somebody else."""
    item = selectors.get_queue_item(tenant=request.tenant, escalation_id=escalation_id)
    with naming_people():
        services.release_conversation(
            tenant=request.tenant, conversation_id=item.conversation.id, agent=agent_of(request)
        )
    return _answer(request, escalation_id)


@member_page(write=WRITE, post_only=True)
def hand_back_item(request: MemberRequest, escalation_id: UUID) -> HttpResponse:
    """Let the AI go on, and tell the customer so."""
    selectors.get_escalation(tenant=request.tenant, escalation_id=escalation_id)
    form = HandBackForm(request.POST, auto_id="hand-back-%s")
    if form.is_valid():
        with naming_people(), _at_fields(form):
            services.hand_back_escalation(
                tenant=request.tenant,
                escalation_id=escalation_id,
                agent=agent_of(request),
                text=form.cleaned_data["text"],
                reply_key=_reply_key(request, form),
            )
    return _answer(request, escalation_id, hand_back_form=form)


@member_page(write=WRITE, post_only=True)
def resolve_item(request: MemberRequest, escalation_id: UUID) -> HttpResponse:
    """End an escalation as done."""
    selectors.get_escalation(tenant=request.tenant, escalation_id=escalation_id)
    form = ResolveForm(request.POST, auto_id="resolve-%s")
    if form.is_valid():
        with naming_people(), _at_fields(form):
            services.resolve_escalation(
                tenant=request.tenant,
                escalation_id=escalation_id,
                agent=agent_of(request),
                resolution=form.cleaned_data["resolution"],
            )
    return _answer(request, escalation_id, resolve_form=form)


@member_page(write=WRITE, post_only=True)
def reopen_item(request: MemberRequest, escalation_id: UUID) -> HttpResponse:
    """Take a resolution back."""
    with naming_people():
        services.reopen_escalation(
            tenant=request.tenant, escalation_id=escalation_id, agent=agent_of(request)
        )
    return _answer(request, escalation_id)


@member_page(write=WRITE, post_only=True)
def send_reply(request: MemberRequest, escalation_id: UUID) -> HttpResponse:
    """Write to the customer, as the person who has the conversation and has read what they wrote."""
    item = selectors.get_queue_item(tenant=request.tenant, escalation_id=escalation_id)
    form = ReplyForm(request.POST, auto_id="reply-%s")
    if form.is_valid():
        with naming_people(), _at_fields(form):
            services.send_agent_message(
                tenant=request.tenant,
                conversation_id=item.conversation.id,
                agent=agent_of(request),
                text=form.cleaned_data["text"],
                reply_key=_reply_key(request, form),
                seen_seq=form.cleaned_data["seen"],
            )
    if form.errors:  # which tell what was not seen
        seen = request.POST.copy()
        seen["seen"] = str(item.conversation.last_seq)
        form.data = seen
    return _answer(request, escalation_id, reply_form=form)


@member_page(write=WRITE, post_only=True)
def write_note(request: MemberRequest, escalation_id: UUID) -> HttpResponse:
    """Note something for colleagues."""
    item = selectors.get_queue_item(tenant=request.tenant, escalation_id=escalation_id)
    form = NoteForm(request.POST, auto_id="note-%s")
    if form.is_valid():
        with _at_fields(form):
            services.add_note(
                tenant=request.tenant,
                conversation_id=item.conversation.id,
                author=agent_of(request),
                text=form.cleaned_data["text"],
            )
    return _answer(request, escalation_id, note_form=form)


@member_page(write=WRITE, post_only=True)
def suggest_reply(request: MemberRequest, escalation_id: UUID) -> HttpResponse:
    """Work out what might be answered: a POST, because those run outside of a transaction."""
    suggestion = services.suggest_answer(tenant=request.tenant, escalation_id=escalation_id)
    return render(request, "conversations/_suggestion.html", {"suggestion": suggestion})


def _answer(
    request: MemberRequest,
    escalation_id: UUID,
    *,
    said: str = "",
    undo_url: str = "",
    **forms_given: forms.Form,
) -> HttpResponse:
    """Show how the escalation stands now, or the form that was refused as it was filled in."""
    refused = {name: form for name, form in forms_given.items() if form.errors}
    if not request.htmx:
        return _answer_with_a_page(request, escalation_id, refused, said, undo_url)
    for name, form in refused.items():
        fields = render(request, "conversations/_fields.html", {"form": form}, status=422)
        place = name.removesuffix("_form").replace("_", "-")
        return reswap(retarget(fields, f"#{place}-fields"), "innerHTML")
    with in_tenant(request.tenant):
        item = selectors.get_queue_item(tenant=request.tenant, escalation_id=escalation_id)
        context = standing_context(request, item)
        told = {"said": said, "undo_url": undo_url, "reply_key": uuid4()}
        return render(request, "conversations/_acted.html", context | told)


def _answer_with_a_page(
    request: MemberRequest, escalation_id: UUID, refused: dict[str, Any], said: str, undo_url: str
) -> HttpResponse:
    if not refused:
        if said:
            notify(request, said, undo_url=undo_url)
        return redirect("inbox_item", escalation_id)
    with in_tenant(request.tenant):
        context = queue_context(request) | panel_context(request, escalation_id) | refused
        return render(request, "conversations/inbox.html", context, status=422)


def _reply_key(request: MemberRequest, form: forms.Form) -> str:
    return f"inbox:{agent_of(request)}:{form.cleaned_data['key']}"


def _require_member(request: MemberRequest, actor: str) -> None:
    """Refuse to give something to somebody who is not a member here."""
    try:
        memberships = list_memberships(user_id=UUID(actor.removeprefix("user:")))
    except ValueError:
        memberships = []
    if request.tenant not in [membership.tenant for membership in memberships]:
        raise NotFoundError("There is no such member.")


@contextmanager
def _at_fields(form: forms.Form) -> Iterator[None]:
    """Put what a service refuses at the form's fields."""
    try:
        yield
    except InvalidInput as error:
        add_errors(form, error)
