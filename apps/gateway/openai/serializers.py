"""What a chat completion request may say."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
MAX_MESSAGES = 500
MAX_TEXT_CHARS = 100_000

UNSUPPORTED = {
    "tools": "Tools are run by the workflow; leave them out.",
    "functions": "Functions are run by the workflow; leave them out.",
    "audio": "Only text is understood.",
    "logprobs": "Log probabilities are not available.",
}


@extend_schema_field(OpenApiTypes.STR)
class TextField(serializers.Field):
    """A message's content: a string, or a list of parts of type text."""

    default_error_messages = {
        "not_text": "Give a string, or a list of parts of type text.",
        "too_long": f"At most {MAX_TEXT_CHARS} characters.",
    }

    def to_internal_value(self, data: Any) -> str:
        text = self._join(data) if isinstance(data, list) else data
        if not isinstance(text, str):
            self.fail("not_text")
        if len(text) > MAX_TEXT_CHARS:
            self.fail("too_long")
        return text

    def to_representation(self, value: str) -> str:
        return value

    def _join(self, parts: list[Any]) -> str:
        for part in parts:
            if (
                not isinstance(part, dict)
                or part.get("type") != "text"
                or not isinstance(part.get("text"), str)
            ):
                self.fail("not_text")
        return "\n".join(part["text"] for part in parts)


class TurnSerializer(serializers.Serializer[Any]):
    role = serializers.ChoiceField(choices=ROLES)
    content = TextField(required=False, allow_null=True)


class StreamOptionsSerializer(serializers.Serializer[Any]):
    include_usage = serializers.BooleanField(default=False)


class MetadataSerializer(serializers.Serializer[Any]):
    conversation_id = serializers.UUIDField(required=False, help_text="Continue this conversation.")


class ChatCompletionSerializer(serializers.Serializer[Any]):
    """OpenAI's request; what a workflow decides itself (temperature, max_tokens, …) is taken and unused."""

    model = serializers.CharField(max_length=200, help_text="The name of a published workflow.")
    messages = serializers.ListField(
        child=TurnSerializer(),
        min_length=1,
        max_length=MAX_MESSAGES,
        help_text="The last one is the question.",
    )
    stream = serializers.BooleanField(default=False, allow_null=True)
    stream_options = StreamOptionsSerializer(required=False, allow_null=True)
    user = serializers.CharField(
        max_length=100,
        required=False,
        allow_blank=True,
        allow_null=True,
        help_text="Your name for the person who asks; the same user continues the same conversation.",
    )
    metadata = MetadataSerializer(required=False, allow_null=True)
    n = serializers.IntegerField(
        min_value=1, max_value=1, default=1, allow_null=True, help_text="Always one choice."
    )

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict):
            refused = {name: [why] for name, why in UNSUPPORTED.items() if data.get(name)}
            shape = data.get("response_format")
            if isinstance(shape, dict) and shape.get("type", "text") != "text":
                refused["response_format"] = ["Only text is supported."]
            if refused:
                raise serializers.ValidationError(refused)
        return super().to_internal_value(data)

    def validate_messages(self, turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if turns[-1]["role"] != "user" or not (turns[-1].get("content") or "").strip():
            raise serializers.ValidationError("The last message must be the user's, and not empty.")
        return turns
