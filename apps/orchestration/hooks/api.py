"""The doorway of signed webhooks: POST /hooks/{tenant}/{endpoint}."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.urls import path
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.views import APIView

from apps.orchestration.api.requests import TenantRequest
from apps.orchestration.hooks import services
from apps.tenants.contracts import SIGNED_IN


class IdSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()


class HookMessageSerializer(IdSerializer):
    seq = serializers.IntegerField()


class HookRunSerializer(IdSerializer):
    workflow = serializers.CharField()
    conversation = serializers.UUIDField(allow_null=True, help_text="Where it answers, if it does.")


class HookAnswerSerializer(serializers.Serializer[Any]):
    delivery = serializers.UUIDField()
    runs = HookRunSerializer(many=True, required=False, help_text="Of an endpoint that starts workflows.")
    conversation = IdSerializer(required=False, help_text="Of an endpoint that takes messages.")
    message = HookMessageSerializer(required=False)
    run = IdSerializer(required=False, allow_null=True)


PARSERS: list[Any] = [*api_settings.DEFAULT_PARSER_CLASSES[:1]]


def _header(name: str, description: str) -> OpenApiParameter:
    return OpenApiParameter(name, str, OpenApiParameter.HEADER, required=True, description=description)


HEADERS = [
    _header("webhook-id", "The event's own id, the same at every attempt; it counts once."),
    _header("webhook-timestamp", "Seconds since 1970, at most 5 minutes away."),
    _header("webhook-signature", "`v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`; or several."),
]


class HookView(APIView):
    """One endpoint; the gateway has verified the signature, which is the sender's credential."""

    required_scopes = {"POST": SIGNED_IN}  # by the delivery's signature
    parser_classes = PARSERS
    keys_itself = True  # by the delivery's webhook-id

    @extend_schema(
        operation_id="hooks_deliver",
        tags=["webhooks"],
        auth=[],
        parameters=HEADERS,
        request=OpenApiTypes.OBJECT,
        responses={
            202: HookAnswerSerializer,
            200: OpenApiResponse(HookAnswerSerializer, "This `webhook-id` came before: its answer again."),
        },
    )
    def post(self, request: TenantRequest, tenant: str, endpoint: str) -> Response:
        """Deliver a webhook, signed as Standard Webhooks say: it starts workflows or says a message."""
        answer = services.receive_delivery(
            tenant=request.tenant,
            endpoint_id=UUID(request.auth.id),
            webhook_id=request.headers["webhook-id"],
            body=request.body,
        )
        return Response(answer.as_dict(), status=202 if answer.is_new else 200)


urlpatterns = [path("<str:tenant>/<str:endpoint>", HookView.as_view(), name="hook")]
