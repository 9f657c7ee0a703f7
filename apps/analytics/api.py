"""KPIs over REST."""

import datetime as dt
from typing import Any

from django.urls import path
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.analytics import selectors
from apps.analytics.kpis import KPIS, Value
from apps.tenants.contracts import TenantRef

MAX_DAYS = 400


class TenantRequest(Request):
    """A request as the gateway hands it over."""

    tenant: TenantRef


class KpiQuery(serializers.Serializer[Any]):
    granularity = serializers.ChoiceField(choices=selectors.GRANULARITIES, default="day")

    def get_fields(self) -> dict[str, Any]:
        """Add `from` and `to`, which Python keeps for itself."""
        words = {
            "from": "First day in the company's zone; 30 days before `to`.",
            "to": "Last day, inclusive.",
        }
        days = {name: serializers.DateField(required=False, help_text=text) for name, text in words.items()}
        return {**days, **super().get_fields()}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs.setdefault("to", timezone.now().date())
        attrs.setdefault("from", attrs["to"] - dt.timedelta(days=29))
        if not 0 <= (attrs["to"] - attrs["from"]).days < MAX_DAYS:
            raise serializers.ValidationError({"from": f"Choose a day before `to`, at most {MAX_DAYS} days."})
        return attrs


class KpiStepSerializer(serializers.Serializer[Any]):
    start = serializers.DateTimeField()
    values = serializers.DictField(child=serializers.CharField(allow_null=True))


class KpiSerializer(serializers.Serializer[Any]):
    start = serializers.DateTimeField(help_text="Inclusive.")
    end = serializers.DateTimeField(help_text="Exclusive.")
    granularity = serializers.CharField()
    units = serializers.DictField(child=serializers.CharField())
    kpis = serializers.DictField(
        child=serializers.CharField(allow_null=True),
        help_text="Exact, as strings; null where undefined.",
    )
    previous = serializers.DictField(child=serializers.CharField(allow_null=True))
    escalation_reasons = serializers.DictField(child=serializers.IntegerField())
    steps = KpiStepSerializer(many=True)


class KpiView(APIView):
    required_scopes = {"GET": "read:conversations"}

    @extend_schema(
        operation_id="analytics_kpis",
        summary="KPIs of a period, of the one before, and of each step",
        parameters=[KpiQuery],
        responses=KpiSerializer,
    )
    def get(self, request: TenantRequest) -> Response:
        given = KpiQuery(data=request.query_params)
        given.is_valid(raise_exception=True)
        asked = given.validated_data
        span = selectors.span_of(tenant=request.tenant, first=asked["from"], last=asked["to"])
        report = selectors.read_kpis(tenant=request.tenant, span=span, granularity=asked["granularity"])
        return Response(
            {
                "start": span.start,
                "end": span.end,
                "granularity": report.granularity,
                "units": {kpi.key: kpi.unit for kpi in KPIS},
                "kpis": _texts(report.values),
                "previous": _texts(report.before),
                "escalation_reasons": dict(report.reasons),
                "steps": [{"start": start, "values": _texts(values)} for start, values in report.steps],
            }
        )


def _texts(values: dict[str, Value]) -> dict[str, str | None]:
    return {key: None if value is None else str(value) for key, value in values.items()}


urlpatterns = [path("analytics/kpis", KpiView.as_view(), name="analytics_kpis")]
