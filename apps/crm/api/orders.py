"""Orders over HTTP, and what can be done to them."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.parsers import MultiPartParser
from rest_framework.response import Response

from apps.crm import selectors, services, validation
from apps.crm.api import csv
from apps.crm.api.effects import TenantRequest, actor_of, effect_key_of
from apps.crm.api.views import ListOfViews, cleaned_by
from apps.crm.contracts import OrderStatus, OrderView
from apps.crm.models import Order
from apps.crm.services.imports import ORDER_COLUMNS

STATUSES = [(status.value, status.value) for status in OrderStatus]


class OrderItemSerializer(serializers.Serializer):
    sku = serializers.CharField(required=False, allow_blank=True, max_length=64)
    name = serializers.CharField(max_length=200)
    quantity = serializers.IntegerField(min_value=1, max_value=1_000_000)
    unit_price_cents = serializers.IntegerField(min_value=0, max_value=validation.MAX_CENTS)


class OrderChanges(serializers.Serializer):
    """What may be corrected in an order; its status changes by actions only."""

    customer_id = serializers.UUIDField(required=False, allow_null=True)
    items = OrderItemSerializer(many=True, required=False)
    total_cents = serializers.IntegerField(required=False, min_value=0, max_value=validation.MAX_CENTS)
    currency = serializers.CharField(required=False, max_length=3)
    placed_at = serializers.DateTimeField(required=False)
    shipped_at = serializers.DateTimeField(required=False, allow_null=True)
    delivered_at = serializers.DateTimeField(required=False, allow_null=True)
    carrier = serializers.CharField(required=False, allow_blank=True, max_length=100)
    tracking_code = serializers.CharField(required=False, allow_blank=True, max_length=100)


class NewOrder(OrderChanges):
    number = serializers.CharField(max_length=64, help_text="Unique; without a leading #.")
    status = serializers.ChoiceField(STATUSES, required=False, help_text="Any but held.")
    customer_email = serializers.CharField(
        required=False, allow_blank=True, allow_null=True, help_text="Adds the customer where unknown."
    )


class OrderSerializer(serializers.Serializer):
    id = serializers.UUIDField()
    number = serializers.CharField()
    status = serializers.ChoiceField(STATUSES)
    total_cents = serializers.IntegerField()
    refunded_cents = serializers.IntegerField(help_text="How much of it went back.")
    currency = serializers.CharField()
    items = OrderItemSerializer(many=True)
    placed_at = serializers.DateTimeField()
    shipped_at = serializers.DateTimeField(allow_null=True)
    delivered_at = serializers.DateTimeField(allow_null=True)
    carrier = serializers.CharField()
    tracking_code = serializers.CharField()
    customer_id = serializers.UUIDField(allow_null=True)
    customer_email = serializers.CharField(allow_null=True)
    created_at = serializers.DateTimeField()


class OrderActionSerializer(serializers.Serializer):
    action = serializers.CharField()
    before = serializers.ChoiceField(STATUSES)
    after = serializers.ChoiceField(STATUSES)
    actor = serializers.CharField()
    created_at = serializers.DateTimeField()
    amount_cents = serializers.IntegerField(allow_null=True, help_text="What a refund gave back.")
    reason = serializers.CharField(allow_blank=True)


class Refund(serializers.Serializer):
    amount_cents = serializers.IntegerField(
        required=False, min_value=1, max_value=validation.MAX_CENTS, help_text="Without it, all that is left."
    )
    currency = serializers.CharField(required=False, max_length=3, help_text="Refused where it is another.")
    reason = serializers.CharField(required=False, allow_blank=True, max_length=500)


class Shipment(serializers.Serializer):
    carrier = serializers.CharField(required=False, allow_blank=True, max_length=100)
    tracking_code = serializers.CharField(required=False, allow_blank=True, max_length=100)


class OrderFilter(serializers.Serializer):
    status = serializers.ChoiceField(STATUSES, required=False)
    number = serializers.CharField(required=False, max_length=65)
    customer_id = serializers.UUIDField(required=False)
    customer_email = serializers.CharField(required=False, max_length=254)
    placed_after = serializers.DateTimeField(required=False, help_text="At or after this moment.")
    placed_before = serializers.DateTimeField(required=False, help_text="Before this moment.")
    lookups = {
        "customer_email": "customer__email",
        "placed_after": "placed_at__gte",
        "placed_before": "placed_at__lt",
    }

    def validate_number(self, value: str) -> Any:
        return cleaned_by(validation.order_number)(value)

    def validate_customer_email(self, value: str) -> str:
        return value.lower()


class OrderViewSet(ListOfViews):
    queryset = Order.objects.select_related("customer")
    serializer_class = OrderSerializer
    filter_serializer = OrderFilter
    lookup_value_converter = "uuid"
    required_scopes = {
        "GET": "read:orders",
        "POST": "write:orders",
        "PATCH": "write:orders",
        "DELETE": "write:orders",
    }

    @extend_schema(summary="List orders", parameters=[OrderFilter])
    def list(self, request: TenantRequest) -> Response:
        return self.listed(request, self.get_queryset())

    @extend_schema(summary="Get an order")
    def retrieve(self, request: TenantRequest, pk: UUID) -> Response:
        return self._answer(selectors.get_order(tenant=request.tenant, order_id=pk))

    @extend_schema(summary="Add an order", request=NewOrder, responses={201: OrderSerializer})
    def create(self, request: TenantRequest) -> Response:
        given = NewOrder(data=request.data)
        given.is_valid(raise_exception=True)
        return self._answer(services.create_order(tenant=request.tenant, **given.validated_data), 201)

    @extend_schema(summary="Correct an order", request=OrderChanges)
    def partial_update(self, request: TenantRequest, pk: UUID) -> Response:
        given = OrderChanges(data=request.data, partial=True)
        given.is_valid(raise_exception=True)
        sent = dict(request.data)
        fixed = {name: sent[name] for name in ("number", "status") if name in sent}
        changes = given.validated_data | fixed
        return self._answer(services.update_order(tenant=request.tenant, order_id=pk, **changes))

    @extend_schema(summary="Remove an order that nothing was done to", responses={204: None})
    def destroy(self, request: TenantRequest, pk: UUID) -> Response:
        services.delete_order(tenant=request.tenant, order_id=pk)
        return Response(status=204)

    @extend_schema(summary="Hold an order", request=None)
    @action(detail=True, methods=["post"])
    def hold(self, request: TenantRequest, pk: UUID) -> Response:
        return self._act(request, pk, services.hold_order)

    @extend_schema(summary="Release a held order", request=None)
    @action(detail=True, methods=["post"])
    def release(self, request: TenantRequest, pk: UUID) -> Response:
        return self._act(request, pk, services.release_order)

    @extend_schema(summary="Cancel an order", request=None)
    @action(detail=True, methods=["post"])
    def cancel(self, request: TenantRequest, pk: UUID) -> Response:
        return self._act(request, pk, services.cancel_order)

    @extend_schema(summary="Undo a cancellation", request=None)
    @action(detail=True, methods=["post"])
    def reinstate(self, request: TenantRequest, pk: UUID) -> Response:
        return self._act(request, pk, services.reinstate_order)

    @extend_schema(summary="Refund an order, or a part of it", request=Refund)
    @action(detail=True, methods=["post"])
    def refund(self, request: TenantRequest, pk: UUID) -> Response:
        asked = Refund(data=request.data)
        asked.is_valid(raise_exception=True)
        return self._act(request, pk, services.refund_order, **asked.validated_data)

    @extend_schema(summary="Ship an order", request=Shipment)
    @action(detail=True, methods=["post"])
    def ship(self, request: TenantRequest, pk: UUID) -> Response:
        shipment = Shipment(data=request.data)
        shipment.is_valid(raise_exception=True)
        return self._act(request, pk, services.ship_order, **shipment.validated_data)

    @extend_schema(summary="Record an order's delivery", request=None)
    @action(detail=True, methods=["post"])
    def deliver(self, request: TenantRequest, pk: UUID) -> Response:
        return self._act(request, pk, services.deliver_order)

    @extend_schema(
        summary="What was done to an order", filters=False, responses=OrderActionSerializer(many=True)
    )
    @action(detail=True, pagination_class=None)
    def actions(self, request: TenantRequest, pk: UUID) -> Response:
        order = selectors.get_order(tenant=request.tenant, order_id=pk)
        done = selectors.list_order_actions(tenant=request.tenant, order_id=order.id)
        return Response(OrderActionSerializer(done, many=True).data)

    @extend_schema(
        operation_id="orders_import",
        summary="Import orders from CSV, all or none",
        request=csv.CsvUpload,
        parameters=[csv.EXISTING],
        responses=csv.ImportReportSerializer,
    )
    @action(detail=False, methods=["post"], url_path="import", parser_classes=[MultiPartParser])
    def import_csv(self, request: TenantRequest) -> Response:
        skip = csv.wants_skip(request)
        raw = csv.read_upload(request)
        return csv.report(services.import_orders(tenant=request.tenant, raw=raw, skip_existing=skip))

    @extend_schema(
        operation_id="orders_export",
        summary="Export all orders as CSV",
        filters=False,
        responses={(200, "text/csv"): OpenApiResponse(OpenApiTypes.STR)},
    )
    @action(detail=False, url_path="export", pagination_class=None)
    def export_csv(self, request: TenantRequest) -> StreamingHttpResponse:
        rows = (_cells(order) for order in selectors.iterate_orders(tenant=request.tenant))
        return csv.stream("orders", ORDER_COLUMNS, rows)

    def _act(
        self, request: TenantRequest, pk: UUID, act: Callable[..., OrderView], **details: Any
    ) -> Response:
        key = effect_key_of(request, f"order.{self.action}:{pk}")
        done = act(tenant=request.tenant, order_id=pk, effect_key=key, actor=actor_of(request), **details)
        return self._answer(done)

    def _answer(self, order: OrderView, status: int = 200) -> Response:
        return Response(self.get_serializer(order).data, status=status)


def _cells(order: OrderView) -> tuple[object, ...]:
    moments = (order.placed_at, order.shipped_at, order.delivered_at)
    return (
        order.number,
        order.customer_email,
        order.status.value,
        order.total_cents,
        order.currency,
        csv.as_json(order.items),
        *(moment and moment.isoformat() for moment in moments),
        order.carrier,
        order.tracking_code,
    )
