"""Usage, quotas, plans and the subscription over REST."""

import datetime as dt
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.urls import path
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.billing import selectors, services
from apps.billing.adapters.pdf import draw_invoice
from apps.billing.contracts import LineType, UsageKind
from apps.billing.models import Invoice
from apps.resilience.errors import NotFoundError
from apps.tenants.contracts import Principal, TenantRef
from apps.tenants.selectors import get_tenant_name

MAX_DAYS = 400
DEFAULT_DAYS = 30


class TenantRequest(Request):
    """A request as the gateway hands it over."""

    tenant: TenantRef
    auth: Principal


class UsageQuery(serializers.Serializer[Any]):
    start = serializers.DateField(
        required=False, help_text="First UTC day; 30 days before `end` when absent."
    )
    end = serializers.DateField(required=False, help_text="Last UTC day, inclusive; today when absent.")
    kind = serializers.ChoiceField(choices=[kind.value for kind in UsageKind], required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs.setdefault("end", timezone.now().date())
        attrs.setdefault("start", attrs["end"] - dt.timedelta(days=DEFAULT_DAYS - 1))
        if not 0 <= (attrs["end"] - attrs["start"]).days < MAX_DAYS:
            raise serializers.ValidationError(
                {"start": f"Choose a start before the end, at most {MAX_DAYS} days."}
            )
        return attrs


class DailyUsageSerializer(serializers.Serializer[Any]):
    date = serializers.DateField()
    kind = serializers.CharField()
    quantity = serializers.IntegerField()


class UsageSerializer(serializers.Serializer[Any]):
    start = serializers.DateField()
    end = serializers.DateField()
    results = DailyUsageSerializer(many=True)
    totals = serializers.DictField(child=serializers.IntegerField())


class QuotaSerializer(serializers.Serializer[Any]):
    kind = serializers.CharField()
    used = serializers.IntegerField()
    limit = serializers.IntegerField(allow_null=True, help_text="null is unlimited")
    remaining = serializers.IntegerField(allow_null=True)
    is_hard = serializers.BooleanField(help_text="true: what exceeds the limit is refused with 402")
    resets_at = serializers.DateTimeField()


class QuotasSerializer(serializers.Serializer[Any]):
    results = QuotaSerializer(many=True)


class PlanSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    name = serializers.CharField()
    price_cents = serializers.IntegerField()
    currency = serializers.CharField()
    requests_per_minute = serializers.IntegerField()
    has_hard_limits = serializers.BooleanField()
    max_concurrent_runs = serializers.IntegerField(help_text="workflow runs that workers execute at a time")
    run_weight = serializers.IntegerField(help_text="the part of busy workers, beside others' weights")
    included = serializers.DictField(
        child=serializers.IntegerField(), help_text="a missing kind is unlimited"
    )


class PlansSerializer(serializers.Serializer[Any]):
    results = PlanSerializer(many=True)


class PeriodSerializer(serializers.Serializer[Any]):
    start = serializers.DateTimeField()
    end = serializers.DateTimeField()


class SubscriptionSerializer(serializers.Serializer[Any]):
    plan = PlanSerializer()
    started_on = serializers.DateField()
    period = PeriodSerializer()
    next_plan = PlanSerializer(allow_null=True, help_text="what follows, unless that is taken back")
    next_plan_at = serializers.DateTimeField(allow_null=True)
    trial_ends_at = serializers.DateTimeField(allow_null=True, help_text="null on every plan but a trial")


class PlanChoiceSerializer(serializers.Serializer[Any]):
    plan = serializers.SlugField(max_length=40, help_text="a plan's code; the present one: stay on it")


class UsageView(APIView):
    """Usage by UTC day and kind."""

    required_scopes = {"GET": "read:usage"}

    @extend_schema(
        operation_id="usage_retrieve", parameters=[UsageQuery], responses=UsageSerializer, tags=["billing"]
    )
    def get(self, request: TenantRequest) -> Response:
        query = UsageQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        start, end, kind = (query.validated_data.get(name) for name in ("start", "end", "kind"))
        midnight = dt.datetime.combine(start, dt.time(), dt.UTC)
        after = dt.datetime.combine(end, dt.time(), dt.UTC) + dt.timedelta(days=1)
        days = selectors.get_usage(tenant=request.tenant, start=midnight, end=after)
        days = [day for day in days if kind in (None, day.kind)]
        totals: dict[str, int] = {}
        for day in days:
            totals[day.kind] = totals.get(day.kind, 0) + day.quantity
        return Response(UsageSerializer({"start": start, "end": end, "results": days, "totals": totals}).data)


class QuotasView(APIView):
    """What is spent and left of every kind in the current period."""

    required_scopes = {"GET": "read:usage"}

    @extend_schema(operation_id="quotas_retrieve", responses=QuotasSerializer, tags=["billing"])
    def get(self, request: TenantRequest) -> Response:
        quotas = selectors.list_quotas(tenant=request.tenant)
        return Response(QuotasSerializer({"results": quotas}).data)


class PlansView(APIView):
    """The plans on sale."""

    required_scopes = {"GET": "read:billing"}

    @extend_schema(operation_id="plans_retrieve", responses=PlansSerializer, tags=["billing"])
    def get(self, request: TenantRequest) -> Response:
        return Response(PlansSerializer({"results": selectors.list_plans()}).data)


class SubscriptionView(APIView):
    """The plan that the tenant is on."""

    required_scopes = {"GET": "read:billing", "PATCH": "write:billing"}

    @extend_schema(operation_id="subscription_retrieve", responses=SubscriptionSerializer, tags=["billing"])
    def get(self, request: TenantRequest) -> Response:
        return Response(SubscriptionSerializer(selectors.get_subscription(tenant=request.tenant)).data)

    @extend_schema(
        operation_id="subscription_change",
        summary="Change the plan",
        description="A dearer plan begins at once, in proportion; a cheaper one when the period ends. "
        "During a trial a dearer plan ends it and begins a period of its own.",
        request=PlanChoiceSerializer,
        responses=SubscriptionSerializer,
        tags=["billing"],
    )
    def patch(self, request: TenantRequest) -> Response:
        given = PlanChoiceSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        changed = services.change_plan(
            tenant=request.tenant, plan_code=given.validated_data["plan"], actor=request.auth.id
        )
        return Response(SubscriptionSerializer(changed).data)


class ShareSerializer(serializers.Serializer[Any]):
    quantity = serializers.IntegerField()
    unit_price = serializers.DecimalField(max_digits=24, decimal_places=12)
    amount = serializers.DecimalField(max_digits=24, decimal_places=12)


class LineSerializer(serializers.Serializer[Any]):
    type = serializers.ChoiceField(choices=[kind.value for kind in LineType])
    kind = serializers.CharField(help_text="empty for the base fee")
    description = serializers.CharField()
    period = PeriodSerializer(help_text="late usage names the period that it belongs to")
    quantity = serializers.IntegerField()
    amount = serializers.DecimalField(max_digits=24, decimal_places=12, help_text="before rounding")
    amount_cents = serializers.IntegerField()
    price_version = serializers.IntegerField()
    shares = ShareSerializer(many=True, help_text="how the quantity falls into the price's tiers")


class InvoiceSummarySerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField(allow_null=True, help_text="null for the draft")
    number = serializers.CharField()
    plan_name = serializers.CharField()
    currency = serializers.CharField()
    period = PeriodSerializer()
    time_zone = serializers.CharField()
    total_cents = serializers.IntegerField()
    finalised_at = serializers.DateTimeField(allow_null=True)


class InvoiceSerializer(InvoiceSummarySerializer):
    stored_until = serializers.DateTimeField(allow_null=True, help_text="events stored later come next time")
    event_count = serializers.IntegerField()
    checksum = serializers.CharField()
    lines = LineSerializer(many=True)


class InvoicesView(generics.GenericAPIView):
    """The final invoices, newest first."""

    required_scopes = {"GET": "read:billing"}
    serializer_class = InvoiceSummarySerializer
    queryset = Invoice.objects.none()

    @extend_schema(
        operation_id="invoices_list", tags=["billing"], responses=InvoiceSummarySerializer(many=True)
    )
    def get(self, request: TenantRequest) -> Response:
        page = self.paginate_queryset(selectors.final_invoices()) or []
        views = [selectors.view_of(invoice) for invoice in page]
        return self.get_paginated_response(InvoiceSummarySerializer(views, many=True).data)


class DraftInvoiceView(APIView):
    """What the open period costs so far."""

    required_scopes = {"GET": "read:billing"}

    @extend_schema(operation_id="invoices_draft", responses=InvoiceSerializer, tags=["billing"])
    def get(self, request: TenantRequest) -> Response:
        draft = selectors.get_draft(tenant=request.tenant)
        if draft is None:
            raise NotFoundError("This company is on no plan, so there is no draft.")
        return Response(InvoiceSerializer(draft).data)


class InvoiceView(APIView):
    """A final invoice with its lines."""

    required_scopes = {"GET": "read:billing"}

    @extend_schema(operation_id="invoices_retrieve", responses=InvoiceSerializer, tags=["billing"])
    def get(self, request: TenantRequest, invoice_id: UUID) -> Response:
        invoice = selectors.get_invoice(tenant=request.tenant, invoice_id=invoice_id)
        return Response(InvoiceSerializer(invoice).data)


class InvoicePdfView(APIView):
    """A final invoice as PDF."""

    required_scopes = {"GET": "read:billing"}

    @extend_schema(
        operation_id="invoices_pdf",
        responses={(200, "application/pdf"): OpenApiTypes.BINARY},
        tags=["billing"],
    )
    def get(self, request: TenantRequest, invoice_id: UUID) -> HttpResponse:
        invoice = selectors.get_invoice(tenant=request.tenant, invoice_id=invoice_id)
        content = draw_invoice(invoice, company=get_tenant_name(tenant=request.tenant))
        headers = {"Content-Disposition": f'attachment; filename="{invoice.number}.pdf"'}
        return HttpResponse(content, content_type="application/pdf", headers=headers)


urlpatterns = [
    path("invoices", InvoicesView.as_view()),
    path("invoices/draft", DraftInvoiceView.as_view()),
    path("invoices/<uuid:invoice_id>", InvoiceView.as_view()),
    path("invoices/<uuid:invoice_id>.pdf", InvoicePdfView.as_view()),
    path("usage", UsageView.as_view()),
    path("quotas", QuotasView.as_view()),
    path("plans", PlansView.as_view()),
    path("subscription", SubscriptionView.as_view()),
]
