"""Read what was said in a conversation together with what people noted about it."""

import datetime as dt
from uuid import UUID

from django.db.models import QuerySet

from apps.conversations.contracts import MessageView, NoteView, Transcript
from apps.conversations.models import Message, Note
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef

PAGE_SIZE = 50


def read_transcript(
    *, tenant: TenantRef, conversation_id: UUID, before_seq: int | None = None, limit: int = PAGE_SIZE
) -> Transcript:
    """Return the last messages before `before_seq`, oldest first, and the notes of their time.

    For people only: notes must never reach a customer.
    """
    with in_tenant(tenant):
        messages = Message.objects.filter(conversation_id=conversation_id)
        until = None
        if before_seq is not None:
            later = messages.filter(seq=before_seq).values_list("created_at", flat=True)
            until, messages = later.first(), messages.filter(seq__lt=before_seq)
        newest = [message.view() for message in messages.order_by("-seq")[: limit + 1]]
        shown, has_older = newest[:limit][::-1], len(newest) > limit
        since = shown[0].created_at if has_older else None
        notes = _between(Note.objects.filter(conversation_id=conversation_id), since, until)
        entries = _merge(shown, [note.view() for note in notes.order_by("-id")[:limit]])
    return Transcript(entries=entries, first_seq=shown[0].seq if shown else 0, has_older=has_older)


def list_newer_entries(
    *, tenant: TenantRef, conversation_id: UUID, after_seq: int, after_note: UUID | None
) -> list[MessageView | NoteView]:
    """Return what was said and noted since, oldest first; for people only."""
    with in_tenant(tenant):
        messages = Message.objects.filter(conversation_id=conversation_id, seq__gt=after_seq)
        notes = Note.objects.filter(conversation_id=conversation_id)
        if after_note is not None:
            notes = notes.filter(id__gt=after_note)
        return _merge(
            [message.view() for message in messages.order_by("seq")[:PAGE_SIZE]],
            [note.view() for note in notes.order_by("id")[:PAGE_SIZE]],
        )


def _between(notes: QuerySet[Note], since: dt.datetime | None, until: dt.datetime | None) -> QuerySet[Note]:
    if since is not None:
        notes = notes.filter(created_at__gte=since)
    return notes if until is None else notes.filter(created_at__lt=until)


def _merge(messages: list[MessageView], notes: list[NoteView]) -> list[MessageView | NoteView]:
    return sorted([*messages, *notes], key=lambda entry: entry.created_at)
