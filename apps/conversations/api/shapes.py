"""What goes in and comes out."""

from rest_framework import serializers

from apps.conversations.contracts import Author, ChannelKind, ConversationStatus, EscalationStatus
from apps.conversations.validation import MAX_COMMENT_CHARS, MAX_MESSAGE_CHARS

CHANNELS = [(kind.value, kind.value) for kind in ChannelKind]
CONVERSATION_STATUSES = [(status.value, status.value) for status in ConversationStatus]
ESCALATION_STATUSES = [(status.value, status.value) for status in EscalationStatus]
AUTHORS = [(author.value, author.value) for author in Author]


class NewMessage(serializers.Serializer):
    text = serializers.CharField(max_length=MAX_MESSAGE_CHARS, trim_whitespace=True)
    client_message_id = serializers.CharField(
        required=False,
        allow_blank=True,
        allow_null=True,
        max_length=100,
        help_text="Your own id of the message: sent again, it is stored once.",
    )


class NewCustomer(serializers.Serializer):
    name = serializers.CharField(required=False, allow_blank=True, allow_null=True, max_length=200)
    email = serializers.CharField(required=False, allow_blank=True, allow_null=True, max_length=254)
    external_id = serializers.CharField(required=False, allow_blank=True, allow_null=True, max_length=100)
    phone = serializers.CharField(required=False, allow_blank=True, allow_null=True, max_length=40)


class NewConversation(serializers.Serializer):
    channel = serializers.ChoiceField(CHANNELS, default=ChannelKind.API.value)
    customer = NewCustomer(required=False, allow_null=True)
    message = NewMessage()


class ConversationSerializer(serializers.Serializer):
    id = serializers.UUIDField()
    channel = serializers.ChoiceField(CHANNELS)
    status = serializers.ChoiceField(CONVERSATION_STATUSES)
    customer_id = serializers.UUIDField(allow_null=True)
    subject = serializers.CharField()
    last_seq = serializers.IntegerField()
    epoch = serializers.UUIDField()
    agent = serializers.CharField(help_text="Who has it, while the status is with_agent.")
    rating = serializers.IntegerField(allow_null=True)
    rating_comment = serializers.CharField()
    created_at = serializers.DateTimeField()
    last_message_at = serializers.DateTimeField(allow_null=True)
    closed_at = serializers.DateTimeField(allow_null=True)


class MessageSerializer(serializers.Serializer):
    id = serializers.UUIDField()
    conversation_id = serializers.UUIDField()
    seq = serializers.IntegerField()
    author = serializers.ChoiceField(AUTHORS)
    text = serializers.CharField()
    sources = serializers.ListField(child=serializers.DictField())
    receipt = serializers.DictField(allow_null=True)
    client_message_id = serializers.CharField(allow_null=True)
    run_id = serializers.UUIDField(allow_null=True)
    created_at = serializers.DateTimeField()


class ReceivedSerializer(serializers.Serializer):
    """`run` is null while a person has the conversation; `reply` is there when it was waited for and came."""

    message = MessageSerializer()
    run = serializers.DictField(allow_null=True)
    reply = MessageSerializer(required=False)


class StartedSerializer(ReceivedSerializer):
    conversation = ConversationSerializer()


class MessagesSerializer(serializers.Serializer):
    results = MessageSerializer(many=True)
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    head_seq = serializers.IntegerField(help_text="The conversation's last seq.")


class MessagesQuery(serializers.Serializer):
    after_seq = serializers.IntegerField(required=False, default=0, min_value=0, max_value=2**31 - 1)
    page_size = serializers.IntegerField(required=False, default=200, min_value=1, max_value=200)


class ConversationFilter(serializers.Serializer):
    status = serializers.ChoiceField(CONVERSATION_STATUSES, required=False)
    channel = serializers.ChoiceField(CHANNELS, required=False)
    customer_id = serializers.UUIDField(required=False)


class RatingSerializer(serializers.Serializer):
    score = serializers.IntegerField(min_value=1, max_value=5)
    comment = serializers.CharField(
        required=False, allow_blank=True, allow_null=True, max_length=MAX_COMMENT_CHARS
    )


class AgentReply(serializers.Serializer):
    text = serializers.CharField(max_length=MAX_MESSAGE_CHARS)


class EscalationSerializer(serializers.Serializer):
    id = serializers.UUIDField()
    conversation_id = serializers.UUIDField()
    reason = serializers.CharField()
    queue = serializers.CharField()
    status = serializers.ChoiceField(ESCALATION_STATUSES)
    run_id = serializers.UUIDField(allow_null=True)
    claimed_by = serializers.CharField()
    suggested_answer = serializers.CharField()
    resolution = serializers.CharField()
    created_at = serializers.DateTimeField()
    claimed_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)


class EscalationFilter(serializers.Serializer):
    status = serializers.ChoiceField(ESCALATION_STATUSES, required=False)
    queue = serializers.CharField(required=False, max_length=100)
    conversation_id = serializers.UUIDField(required=False)


class Resolution(serializers.Serializer):
    resolution = serializers.CharField(required=False, allow_blank=True, max_length=2000)
