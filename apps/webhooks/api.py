"""Webhook endpoints and their deliveries over HTTP."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.urls import path
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.tenants.contracts import Principal, TenantRef
from apps.webhooks import selectors, services
from apps.webhooks.catalog import BY_TYPE, PUBLIC_EVENTS
from apps.webhooks.contracts import DeliveryStatus, EndpointState, Outcome
from apps.webhooks.models import WebhookDelivery, WebhookEndpoint

TAGS = ["webhooks"]
READ, WRITE, SECRETS = "read:webhooks", "write:webhooks", "write:secrets"
NO_STORE = {"Cache-Control": "no-store"}
STATES = [(state.value, state.value) for state in EndpointState]
DELIVERY_STATUSES = [(status.value, status.value) for status in DeliveryStatus]
OUTCOMES = [(outcome.value, outcome.value) for outcome in Outcome]


class TenantRequest(Request):
    """A request that the gateway let pass."""

    tenant: TenantRef
    auth: Principal


class EndpointRequest(serializers.Serializer[Any]):
    url = serializers.CharField(max_length=2048)
    event_types = serializers.ListField(
        child=serializers.CharField(max_length=100),
        max_length=100,
        help_text="Of webhook-event-types, or * for all.",
    )
    description = serializers.CharField(required=False, allow_blank=True, max_length=200)


class WebhookEndpointSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    url = serializers.CharField()
    description = serializers.CharField()
    event_types = serializers.ListField(child=serializers.CharField())
    state = serializers.ChoiceField(STATES)
    secret_hint = serializers.CharField(help_text="The last four characters of the signing secret.")
    secret_created_at = serializers.DateTimeField()
    previous_until = serializers.DateTimeField(
        allow_null=True, help_text="Until then the former secret signs too."
    )
    failing_since = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()


class IssuedEndpointSerializer(WebhookEndpointSerializer):
    secret = serializers.CharField(help_text="The signing secret, shown this once.")


class RotateRequest(serializers.Serializer[Any]):
    overlap_s = serializers.IntegerField(required=False, default=86_400, min_value=0, max_value=30 * 86_400)


class TestRequest(serializers.Serializer[Any]):
    event_type = serializers.ChoiceField([*BY_TYPE], required=False, allow_blank=True, default="")


class DeliveryFilter(serializers.Serializer[Any]):
    status = serializers.ChoiceField(DELIVERY_STATUSES, required=False)
    event_type = serializers.CharField(required=False, max_length=100)


class WebhookDeliverySerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    webhook_id = serializers.CharField()
    event_type = serializers.CharField()
    status = serializers.ChoiceField(DELIVERY_STATUSES)
    is_test = serializers.BooleanField()
    attempts = serializers.IntegerField()
    due_at = serializers.DateTimeField(allow_null=True, help_text="When it is attempted next.")
    finished_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()


class AttemptSerializer(serializers.Serializer[Any]):
    number = serializers.IntegerField()
    outcome = serializers.ChoiceField(OUTCOMES)
    response_status = serializers.IntegerField(allow_null=True)
    response_body = serializers.CharField(help_text="Its beginning.")
    error = serializers.CharField()
    duration_ms = serializers.IntegerField(allow_null=True)
    created_at = serializers.DateTimeField()


class DeliveryDetailSerializer(WebhookDeliverySerializer):
    body = serializers.CharField(help_text="What is signed and sent, byte for byte.")
    attempt_log = AttemptSerializer(many=True)


class ReplayedSerializer(serializers.Serializer[Any]):
    deliveries = serializers.IntegerField()


class EventTypeSerializer(serializers.Serializer[Any]):
    type = serializers.CharField()
    version = serializers.IntegerField()
    summary = serializers.CharField()
    example = serializers.DictField(help_text="The payload's `data`.")
    schema = serializers.DictField(help_text="The JSON Schema of `data`; another version has another.")


class EventTypesSerializer(serializers.Serializer[Any]):
    results = EventTypeSerializer(many=True)


def _actor(request: TenantRequest) -> str:
    return f"{request.auth.kind.value}:{request.auth.id}"


def _given(
    shape: type[serializers.Serializer[Any]], request: TenantRequest, **options: Any
) -> dict[str, Any]:
    asked = shape(data=request.data, **options)
    asked.is_valid(raise_exception=True)
    given: dict[str, Any] = asked.validated_data
    return given


class EventTypesView(APIView):
    """The events that an endpoint may hear of."""

    required_scopes = {"GET": READ}

    @extend_schema(operation_id="webhook_event_types_list", tags=TAGS, responses=EventTypesSerializer)
    def get(self, request: TenantRequest) -> Response:
        """List every public event with an example of its data."""
        return Response(EventTypesSerializer({"results": PUBLIC_EVENTS}).data)


class EndpointsView(GenericAPIView[WebhookEndpoint]):
    """The tenant's endpoints."""

    required_scopes = {"GET": READ, "POST": WRITE}
    queryset = WebhookEndpoint.objects.all()
    serializer_class = WebhookEndpointSerializer

    @extend_schema(
        operation_id="webhook_endpoints_list", tags=TAGS, responses=WebhookEndpointSerializer(many=True)
    )
    def get(self, request: TenantRequest) -> Response:
        """List the endpoints, the newest first; no secrets."""
        rows = self.paginate_queryset(self.get_queryset()) or []
        return self.get_paginated_response(self.get_serializer([row.view() for row in rows], many=True).data)

    @extend_schema(
        operation_id="webhook_endpoints_create",
        tags=TAGS,
        request=EndpointRequest,
        responses={201: IssuedEndpointSerializer},
        examples=[
            OpenApiExample(
                "Orders",
                {"url": "https://shop.example/hooks", "event_types": ["agent.order.cancelled"]},
                request_only=True,
            )
        ],
    )
    def post(self, request: TenantRequest) -> Response:
        """Make an endpoint; the answer holds its signing secret, this once."""
        issued = services.create_endpoint(
            tenant=request.tenant, actor=_actor(request), **_given(EndpointRequest, request)
        )
        return _with_secret(issued, 201)


class EndpointView(APIView):
    """One endpoint."""

    required_scopes = {"GET": READ, "PATCH": WRITE, "DELETE": WRITE}

    @extend_schema(operation_id="webhook_endpoints_retrieve", tags=TAGS, responses=WebhookEndpointSerializer)
    def get(self, request: TenantRequest, endpoint_id: UUID) -> Response:
        """Show an endpoint; its secret is never shown again."""
        found = selectors.get_endpoint(tenant=request.tenant, endpoint_id=endpoint_id)
        return Response(WebhookEndpointSerializer(found).data)

    @extend_schema(
        operation_id="webhook_endpoints_update",
        tags=TAGS,
        request=EndpointRequest(partial=True),
        responses=WebhookEndpointSerializer,
    )
    def patch(self, request: TenantRequest, endpoint_id: UUID) -> Response:
        """Change address, events or description."""
        changed = services.update_endpoint(
            tenant=request.tenant,
            endpoint_id=endpoint_id,
            actor=_actor(request),
            **_given(EndpointRequest, request, partial=True),
        )
        return Response(WebhookEndpointSerializer(changed).data)

    @extend_schema(operation_id="webhook_endpoints_delete", tags=TAGS, request=None, responses={204: None})
    def delete(self, request: TenantRequest, endpoint_id: UUID) -> Response:
        """Delete an endpoint with its deliveries."""
        services.delete_endpoint(tenant=request.tenant, endpoint_id=endpoint_id, actor=_actor(request))
        return Response(status=204)


class RotateView(APIView):
    """An endpoint's signing secret."""

    required_scopes = {"POST": SECRETS}

    @extend_schema(
        operation_id="webhook_endpoints_rotate",
        tags=TAGS,
        request=RotateRequest,
        responses=IssuedEndpointSerializer,
    )
    def post(self, request: TenantRequest, endpoint_id: UUID) -> Response:
        """Make a new secret; for `overlap_s` seconds both of them sign."""
        issued = services.rotate_secret(
            tenant=request.tenant,
            endpoint_id=endpoint_id,
            actor=_actor(request),
            **_given(RotateRequest, request),
        )
        return _with_secret(issued, 200)


class PauseView(APIView):
    """Whether an endpoint is sent to."""

    required_scopes = {"POST": WRITE}

    @extend_schema(
        operation_id="webhook_endpoints_pause", tags=TAGS, request=None, responses=WebhookEndpointSerializer
    )
    def post(self, request: TenantRequest, endpoint_id: UUID) -> Response:
        """Send nothing until it is resumed; what happens meanwhile waits."""
        paused = services.pause_endpoint(
            tenant=request.tenant, endpoint_id=endpoint_id, actor=_actor(request)
        )
        return Response(WebhookEndpointSerializer(paused).data)


class ResumeView(APIView):
    """Whether an endpoint is sent to."""

    required_scopes = {"POST": WRITE}

    @extend_schema(
        operation_id="webhook_endpoints_resume", tags=TAGS, request=None, responses=WebhookEndpointSerializer
    )
    def post(self, request: TenantRequest, endpoint_id: UUID) -> Response:
        """Send again, first what has waited."""
        resumed = services.resume_endpoint(
            tenant=request.tenant, endpoint_id=endpoint_id, actor=_actor(request)
        )
        return Response(WebhookEndpointSerializer(resumed).data)


class TestView(APIView):
    """A trial of an endpoint."""

    required_scopes = {"POST": WRITE}

    @extend_schema(
        operation_id="webhook_endpoints_test",
        tags=TAGS,
        request=TestRequest,
        responses={202: WebhookDeliverySerializer},
    )
    def post(self, request: TenantRequest, endpoint_id: UUID) -> Response:
        """Send an example of an event; it is tried once."""
        made = services.send_test(
            tenant=request.tenant,
            endpoint_id=endpoint_id,
            actor=_actor(request),
            **_given(TestRequest, request),
        )
        return Response(WebhookDeliverySerializer(made).data, status=202)


class DeliveriesView(GenericAPIView[WebhookDelivery]):
    """What was, or is to be, delivered to an endpoint."""

    required_scopes = {"GET": READ}
    queryset = WebhookDelivery.objects.all()
    serializer_class = WebhookDeliverySerializer

    @extend_schema(
        operation_id="webhook_deliveries_list",
        tags=TAGS,
        parameters=[DeliveryFilter],
        responses=WebhookDeliverySerializer(many=True),
    )
    def get(self, request: TenantRequest, endpoint_id: UUID) -> Response:
        """List deliveries, the newest first."""
        asked = DeliveryFilter(data=request.query_params)
        asked.is_valid(raise_exception=True)
        selectors.get_endpoint(tenant=request.tenant, endpoint_id=endpoint_id)
        rows = selectors.query_deliveries(endpoint_id=endpoint_id, **asked.validated_data)
        return self.get_paginated_response(
            self.get_serializer(self.paginate_queryset(rows) or [], many=True).data
        )


class ReplayFailedView(APIView):
    """What an endpoint failed to take."""

    required_scopes = {"POST": WRITE}

    @extend_schema(
        operation_id="webhook_deliveries_replay_failed",
        tags=TAGS,
        request=None,
        responses={202: ReplayedSerializer},
    )
    def post(self, request: TenantRequest, endpoint_id: UUID) -> Response:
        """Deliver again what has failed, the oldest first and 1,000 at most."""
        count = services.replay_failed(tenant=request.tenant, endpoint_id=endpoint_id, actor=_actor(request))
        return Response({"deliveries": count}, status=202)


class DeliveryView(APIView):
    """One delivery."""

    required_scopes = {"GET": READ}

    @extend_schema(operation_id="webhook_deliveries_retrieve", tags=TAGS, responses=DeliveryDetailSerializer)
    def get(self, request: TenantRequest, delivery_id: UUID) -> Response:
        """Show a delivery with its body and its attempts."""
        found = selectors.get_delivery(tenant=request.tenant, delivery_id=delivery_id)
        log = selectors.list_attempts(tenant=request.tenant, delivery_id=delivery_id)
        shown = {**WebhookDeliverySerializer(found).data, "body": found.body, "attempt_log": log}
        return Response(DeliveryDetailSerializer(shown).data)


class ReplayView(APIView):
    """One delivery, again."""

    required_scopes = {"POST": WRITE}

    @extend_schema(
        operation_id="webhook_deliveries_replay",
        tags=TAGS,
        request=None,
        responses={202: WebhookDeliverySerializer},
    )
    def post(self, request: TenantRequest, delivery_id: UUID) -> Response:
        """Deliver it again under the same webhook-id."""
        again = services.replay(tenant=request.tenant, delivery_id=delivery_id, actor=_actor(request))
        return Response(WebhookDeliverySerializer(again).data, status=202)


def _with_secret(issued: Any, status: int) -> Response:
    shown = {**WebhookEndpointSerializer(issued.endpoint).data, "secret": issued.secret}
    return Response(shown, status=status, headers=NO_STORE)


ENDPOINT = "webhook-endpoints/<uuid:endpoint_id>"
DELIVERY = "webhook-deliveries/<uuid:delivery_id>"
urlpatterns = [
    path("webhook-event-types", EventTypesView.as_view(), name="webhook-event-types"),
    path("webhook-endpoints", EndpointsView.as_view(), name="webhook-endpoints"),
    path(ENDPOINT, EndpointView.as_view(), name="webhook-endpoint"),
    path(f"{ENDPOINT}/rotate", RotateView.as_view(), name="webhook-endpoint-rotate"),
    path(f"{ENDPOINT}/pause", PauseView.as_view(), name="webhook-endpoint-pause"),
    path(f"{ENDPOINT}/resume", ResumeView.as_view(), name="webhook-endpoint-resume"),
    path(f"{ENDPOINT}/test", TestView.as_view(), name="webhook-endpoint-test"),
    path(f"{ENDPOINT}/deliveries", DeliveriesView.as_view(), name="webhook-deliveries"),
    path(f"{ENDPOINT}/deliveries/replay", ReplayFailedView.as_view(), name="webhook-deliveries-replay"),
    path(DELIVERY, DeliveryView.as_view(), name="webhook-delivery"),
    path(f"{DELIVERY}/replay", ReplayView.as_view(), name="webhook-delivery-replay"),
]
