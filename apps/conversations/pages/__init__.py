"""Pages of conversations and of the human inbox."""

from django.urls import path

from apps.conversations.pages.conversations import (
    correct_reply_intent,
    show_conversation,
    show_conversations,
)

urlpatterns = [
    path("conversations/", show_conversations, name="conversations"),
    path("conversations/<uuid:conversation_id>/", show_conversation, name="conversation"),
    path(
        "conversations/<uuid:conversation_id>/replies/<int:number>/intent/",
        correct_reply_intent,
        name="correct_intent",
    ),
]
