"""Pages of conversations and of the human inbox."""

from django.urls import path

from apps.conversations.pages import acting, canned, conversations, decisions, exports, inbox
from apps.conversations.pages.of_customer import show_customer_conversations

CONVERSATION = "conversations/<uuid:conversation_id>/"
ITEM = "inbox/<uuid:escalation_id>/"

urlpatterns = [
    path(
        "customers/<uuid:customer_id>/conversations/",
        show_customer_conversations,
        name="customer_conversations",
    ),
    path("conversations/", conversations.show_conversations, name="conversations"),
    path("conversations/export/", exports.send_conversations, name="conversations_export"),
    path(f"{CONVERSATION}export/", exports.send_transcript, name="transcript_export"),
    path(CONVERSATION, conversations.show_conversation, name="conversation"),
    path(
        f"{CONVERSATION}replies/<int:number>/intent/",
        conversations.correct_reply_intent,
        name="correct_intent",
    ),
    path("router/decisions/", decisions.show_decisions, name="router_decisions"),
    path("inbox/", inbox.show_inbox, name="inbox"),
    path("inbox/ticket/", inbox.issue_ticket, name="inbox_ticket"),
    path("inbox/canned/", canned.show_canned_replies, name="canned_replies"),
    path("inbox/canned/restore/", canned.restore_canned_reply, name="restore_canned_reply"),
    path("inbox/canned/<uuid:reply_id>/", canned.show_canned_reply, name="canned_reply"),
    path("inbox/canned/<uuid:reply_id>/delete/", canned.remove_canned_reply, name="delete_canned_reply"),
    path(ITEM, inbox.show_item, name="inbox_item"),
    path(f"{ITEM}news/", inbox.show_news, name="inbox_news"),
    path(f"{ITEM}claim/", acting.claim_item, name="claim_item"),
    path(f"{ITEM}take-over/", acting.take_over_item, name="take_over_item"),
    path(f"{ITEM}give-back/", acting.give_back_item, name="give_back_item"),
    path(f"{ITEM}hand-back/", acting.hand_back_item, name="hand_back_item"),
    path(f"{ITEM}release/", acting.release_item, name="release_item"),
    path(f"{ITEM}resolve/", acting.resolve_item, name="resolve_item"),
    path(f"{ITEM}reopen/", acting.reopen_item, name="reopen_item"),
    path(f"{ITEM}replies/", acting.send_reply, name="send_reply"),
    path(f"{ITEM}notes/", acting.write_note, name="write_note"),
    path(f"{ITEM}suggestion/", acting.suggest_reply, name="suggest_reply"),
]
