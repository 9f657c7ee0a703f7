"""Routing over REST."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.urls import path
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.routing import selectors, services
from apps.routing.contracts import Tier
from apps.routing.models import MAX_TEXT_CHARS, RouterModel
from apps.tenants.contracts import TenantRef


class TenantRequest(Request):
    """A request as the gateway hands it over."""

    tenant: TenantRef


class RouteRequest(serializers.Serializer[Any]):
    text = serializers.CharField(max_length=20_000)
    channel = serializers.CharField(max_length=40, default="api")
    customer_id = serializers.UUIDField(required=False, allow_null=True)
    history = serializers.ListField(
        child=serializers.CharField(max_length=20_000),
        max_length=50,
        default=list,
        help_text="The customer's messages before this one, oldest first.",
    )


class AlternativeSerializer(serializers.Serializer[Any]):
    intent = serializers.CharField()
    confidence = serializers.FloatField()


class RouteSerializer(serializers.Serializer[Any]):
    intent = serializers.CharField()
    confidence = serializers.FloatField(help_text="0 to 1; below 0.7 a person decides")
    tier = serializers.ChoiceField(choices=[tier.value for tier in Tier])
    model = serializers.CharField(allow_blank=True)
    escalate = serializers.BooleanField()
    alternatives = AlternativeSerializer(many=True)
    reasons = serializers.ListField(child=serializers.CharField())
    latency_ms = serializers.FloatField()
    model_version = serializers.CharField()
    in_scope = serializers.BooleanField()


class RouterModelSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    version = serializers.IntegerField()
    is_active = serializers.BooleanField()
    intents = serializers.ListField(child=serializers.CharField())
    examples = serializers.IntegerField()
    accuracy = serializers.FloatField(help_text="on examples held out of training")
    calibration_error = serializers.FloatField(help_text="expected calibration error, 15 bins")
    created_at = serializers.DateTimeField()


class FeedbackRequest(serializers.Serializer[Any]):
    text = serializers.CharField(max_length=MAX_TEXT_CHARS)
    intent = serializers.CharField(max_length=50, help_text="the intent that would have been right")


class FeedbackSerializer(serializers.Serializer[Any]):
    text = serializers.CharField()
    intent = serializers.CharField()
    is_new = serializers.BooleanField()


class IntentRequest(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=50)
    description = serializers.CharField(max_length=300, default="", allow_blank=True)
    examples = serializers.ListField(
        child=serializers.CharField(max_length=MAX_TEXT_CHARS), max_length=1_000, default=list
    )


class IntentSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    description = serializers.CharField()
    examples = serializers.IntegerField()


class IntentsSerializer(serializers.Serializer[Any]):
    results = IntentSerializer(many=True)


class RouteView(APIView):
    """How a message would be handled, and why; without any effect."""

    keys_itself = True  # nothing is written
    required_scopes = {"POST": "read:router"}

    @extend_schema(
        operation_id="route_preview", request=RouteRequest, responses=RouteSerializer, tags=["router"]
    )
    def post(self, request: TenantRequest) -> Response:
        asked = RouteRequest(data=request.data)
        asked.is_valid(raise_exception=True)
        decision = services.preview_route(
            tenant=request.tenant,
            text=asked.validated_data["text"],
            channel=asked.validated_data["channel"],
            history=asked.validated_data["history"],
        )
        return Response(decision.as_dict())


class RouterModelsView(ListAPIView):
    """The tenant's trained models, newest first, and a way to train the next one."""

    keys_itself = True  # the same examples are learnt once
    required_scopes = {"GET": "read:router", "POST": "write:router"}
    serializer_class = RouterModelSerializer

    def get_queryset(self) -> QuerySet[RouterModel]:
        return RouterModel.objects.defer("payload").order_by("-id")

    @extend_schema(operation_id="router_models_list", tags=["router"])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        operation_id="router_models_train",
        summary="Train the router",
        request=None,
        responses={201: RouterModelSerializer},
        tags=["router"],
        description="Train on the examples as they are now. Takes seconds; the new version routes at once.",
    )
    def post(self, request: TenantRequest) -> Response:
        model = services.train_router(tenant=request.tenant)
        return Response(RouterModelSerializer(model).data, status=status.HTTP_201_CREATED)


class RouterFeedbackView(APIView):
    """A correction: the message becomes an example of its right intent."""

    required_scopes = {"POST": "write:router"}

    @extend_schema(
        operation_id="router_feedback_create",
        request=FeedbackRequest,
        responses={201: FeedbackSerializer},
        tags=["router"],
    )
    def post(self, request: TenantRequest) -> Response:
        given = FeedbackRequest(data=request.data)
        given.is_valid(raise_exception=True)
        kept = services.record_feedback(tenant=request.tenant, **given.validated_data)
        return Response(FeedbackSerializer(kept).data, status=status.HTTP_201_CREATED)


class RouterIntentsView(APIView):
    """The intents that the next training will know."""

    required_scopes = {"GET": "read:router", "POST": "write:router"}

    @extend_schema(
        operation_id="router_intents_list",
        summary="List intents",
        responses=IntentsSerializer,
        tags=["router"],
    )
    def get(self, request: TenantRequest) -> Response:
        intents = selectors.list_intents(tenant=request.tenant)
        return Response(IntentsSerializer({"results": intents}).data)

    @extend_schema(
        operation_id="router_intents_create",
        summary="Add an intent with examples",
        request=IntentRequest,
        responses={201: IntentSerializer},
        tags=["router"],
    )
    def post(self, request: TenantRequest) -> Response:
        given = IntentRequest(data=request.data)
        given.is_valid(raise_exception=True)
        intent = services.create_intent(tenant=request.tenant, **given.validated_data)
        return Response(IntentSerializer(intent).data, status=status.HTTP_201_CREATED)


class RouterIntentView(APIView):
    """One intent."""

    required_scopes = {"DELETE": "write:router"}

    @extend_schema(
        operation_id="router_intents_delete",
        summary="Remove an intent and its examples",
        responses={204: OpenApiResponse(description="The intent and its examples are gone.")},
        tags=["router"],
    )
    def delete(self, request: TenantRequest, name: str) -> Response:
        services.delete_intent(tenant=request.tenant, name=name)
        return Response(status=status.HTTP_204_NO_CONTENT)


urlpatterns = [
    path("route", RouteView.as_view()),
    path("router/models", RouterModelsView.as_view()),
    path("router/feedback", RouterFeedbackView.as_view()),
    path("router/intents", RouterIntentsView.as_view()),
    path("router/intents/<slug:name>", RouterIntentView.as_view()),
]
