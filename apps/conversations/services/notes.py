"""Write private notes."""

from uuid import UUID

from apps.conversations import validation
from apps.conversations.contracts import NoteView
from apps.conversations.events import NoteAdded
from apps.conversations.models import ACTOR_CHARS, Conversation, Note
from apps.events.services import publish
from apps.resilience.errors import NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef


def add_note(*, tenant: TenantRef, conversation_id: UUID, author: str, text: str) -> NoteView:
    """Keep a word for one's colleagues; no customer ever sees it. Raises InvalidInput, NotFoundError."""
    said = validation.message_text(text)
    with in_tenant(tenant):
        if not Conversation.objects.filter(id=conversation_id).exists():
            raise NotFoundError("There is no such conversation.")
        note = Note(conversation_id=conversation_id, author=author[:ACTOR_CHARS], text=said)
        note.save(force_insert=True)
        publish(
            NoteAdded(
                tenant_id=tenant.id, conversation_id=conversation_id, note_id=note.id, author=note.author
            )
        )
        return note.view()
