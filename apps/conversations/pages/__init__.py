"""Pages of conversations and of the human inbox."""

from django.urls import path

from apps.conversations.pages.conversations import (
    correct_reply_intent,
    show_conversation,
    show_conversations,
)
from apps.conversations.pages.of_customer import show_customer_conversations

urlpatterns = [
    path(
        "customers/<uuid:customer_id>/conversations/",
        show_customer_conversations,
        name="customer_conversations",
    ),
    path("conversations/", show_conversations, name="conversations"),
    path("conversations/<uuid:conversation_id>/", show_conversation, name="conversation"),
    path(
        "conversations/<uuid:conversation_id>/replies/<int:number>/intent/",
        correct_reply_intent,
        name="correct_intent",
    ),
]
