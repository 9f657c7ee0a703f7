"""The doorway to conversations and the human inbox."""

from rest_framework.routers import SimpleRouter

from apps.conversations.api.conversations import ConversationViewSet
from apps.conversations.api.escalations import EscalationViewSet

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("conversations", ConversationViewSet, basename="conversation")
router.register("escalations", EscalationViewSet, basename="escalation")

urlpatterns = router.urls
