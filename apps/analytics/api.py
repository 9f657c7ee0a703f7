"""KPIs and reports over REST."""

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

from django.urls import path
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.analytics import selectors
from apps.analytics.kpis import KPIS, Value
from apps.analytics.spans import (
    GRANULARITIES,
    MAX_DAYS,
    MAX_DAYS_BY_HOUR,
    Span,
    check_granularity,
    span_between,
)
from apps.analytics.tables import read_agents, read_groups
from apps.tenants.contracts import TenantRef
from apps.tenants.selectors import get_time_zone


class TenantRequest(Request):
    """A request as the gateway hands it over."""

    tenant: TenantRef


class PeriodQuery(serializers.Serializer[Any]):
    def get_fields(self) -> dict[str, Any]:
        """Add `from` and `to`, which Python keeps for itself."""
        words = {
            "from": "First day in the company's zone; 30 days until `to` when absent.",
            "to": "Last day, inclusive; today when absent.",
        }
        days = {name: serializers.DateField(required=False, help_text=text) for name, text in words.items()}
        return {**days, **super().get_fields()}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs.setdefault("to", timezone.now().astimezone(self.context["zone"]).date())
        attrs.setdefault("from", attrs["to"] - dt.timedelta(days=29))
        if not 0 <= (attrs["to"] - attrs["from"]).days < MAX_DAYS:
            raise serializers.ValidationError({"from": f"Choose a day before `to`, at most {MAX_DAYS} days."})
        return attrs


class KpiQuery(PeriodQuery):
    granularity = serializers.ChoiceField(
        choices=GRANULARITIES, default="day", help_text=f"`hour` for at most {MAX_DAYS_BY_HOUR} days."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        check_granularity(attrs["granularity"], (attrs["to"] - attrs["from"]).days + 1)
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
    previous = serializers.DictField(
        child=serializers.CharField(allow_null=True),
        help_text="Of as many days before; while the period runs, up to the same moment of theirs.",
    )
    previous_until = serializers.DateTimeField(help_text="Exclusive.")
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
        span, asked = _asked(request, KpiQuery)
        report = selectors.read_kpis(tenant=request.tenant, span=span, granularity=asked["granularity"])
        return Response(
            {
                "start": span.start,
                "end": span.end,
                "granularity": report.granularity,
                "units": {kpi.key: kpi.unit for kpi in KPIS},
                "kpis": _texts(report.values),
                "previous": _texts(report.before),
                "previous_until": report.before_until,
                "escalation_reasons": dict(report.reasons),
                "steps": [{"start": start, "values": _texts(values)} for start, values in report.steps],
            }
        )


class GroupSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    conversations = serializers.IntegerField()
    ai_involved = serializers.IntegerField()
    resolved = serializers.IntegerField()
    escalated = serializers.IntegerField()
    first_response_ms = serializers.IntegerField(allow_null=True, help_text="median, at most")
    rated = serializers.IntegerField()
    rated_good = serializers.IntegerField(help_text="4 or 5")
    cost_microusd = serializers.IntegerField()


class AgentSerializer(serializers.Serializer[Any]):
    agent = serializers.CharField()
    name = serializers.CharField()
    replies = serializers.IntegerField()
    claims = serializers.IntegerField()
    resolutions = serializers.IntegerField()
    first_reply_ms = serializers.IntegerField(
        allow_null=True, help_text="median from having a conversation to the first reply, at most"
    )
    rated = serializers.IntegerField(help_text="of the conversations in which they wrote")
    rated_good = serializers.IntegerField(help_text="4 or 5")


class ReportSerializer(serializers.Serializer[Any]):
    start = serializers.DateTimeField(help_text="Inclusive.")
    end = serializers.DateTimeField(help_text="Exclusive.")
    channels = GroupSerializer(many=True)
    intents = GroupSerializer(many=True)
    agents = AgentSerializer(many=True)


class ReportView(APIView):
    required_scopes = {"GET": "read:conversations"}

    @extend_schema(
        operation_id="reports",
        summary="A period by channel, by intent and by person, the busiest first",
        parameters=[PeriodQuery],
        responses=ReportSerializer,
    )
    def get(self, request: TenantRequest) -> Response:
        span, _ = _asked(request, PeriodQuery)
        report = {
            "start": span.start,
            "end": span.end,
            "channels": read_groups(tenant=request.tenant, span=span, by="channel"),
            "intents": read_groups(tenant=request.tenant, span=span, by="intent"),
            "agents": read_agents(tenant=request.tenant, span=span),
        }
        return Response(ReportSerializer(report).data)


def _asked(request: TenantRequest, query: type[PeriodQuery]) -> tuple[Span, dict[str, Any]]:
    zone = ZoneInfo(get_time_zone(tenant=request.tenant))
    given = query(data=request.query_params, context={"zone": zone})
    given.is_valid(raise_exception=True)
    asked = given.validated_data
    return span_between(asked["from"], asked["to"], zone), asked


def _texts(values: dict[str, Value]) -> dict[str, str | None]:
    return {key: None if value is None else str(value) for key, value in values.items()}


urlpatterns = [
    path("analytics/kpis", KpiView.as_view(), name="analytics_kpis"),
    path("reports", ReportView.as_view(), name="reports_api"),
]
