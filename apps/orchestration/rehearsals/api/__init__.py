"""Rehearsals over HTTP: dry runs, simulations with their cases, and the replay gate."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import generics, status
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.views import APIView

from apps.orchestration.api.requests import TenantRequest, actor_of
from apps.orchestration.definitions.selectors import get_workflow
from apps.orchestration.rehearsals import gate, rules, selectors, services
from apps.orchestration.rehearsals.api.shapes import (
    CaseSerializer,
    ChangeFilter,
    DryRunRequest,
    EstimateSerializer,
    GateSerializer,
    GateStateSerializer,
    SelectionRequest,
    SimulationSerializer,
)
from apps.orchestration.rehearsals.contracts import (
    Against,
    CaseView,
    GateRules,
    GateState,
    RehearsalView,
    Selection,
)
from apps.orchestration.rehearsals.models import Rehearsal, RehearsalCase

SCOPES = {"GET": "read:runs", "POST": "write:workflows"}


class DryRunView(APIView):
    """Runs a draft without any effect."""

    required_scopes = {"POST": "write:workflows"}
    keys_itself = True  # by the record's id: a model is waited for

    @extend_schema(
        operation_id="workflows_dry_run", tags=["workflows"], request=DryRunRequest, responses=CaseSerializer
    )
    def post(self, request: TenantRequest, name: str) -> Response:
        """Run the draft now with effects intercepted: its route, steps, answer, tokens and cost."""
        get_workflow(tenant=request.tenant, name=name)
        asked = DryRunRequest(data=request.data)
        asked.is_valid(raise_exception=True)
        case = services.dry_run(
            tenant=request.tenant,
            name=name,
            given=asked.validated_data["input"],
            source=asked.validated_data.get("source"),
            rehearsal_id=request.write_id,
            actor=actor_of(request),
        )
        return Response(CaseSerializer(case).data)


class SimulationsView(generics.ListAPIView[Any]):
    """A workflow's simulations."""

    required_scopes = SCOPES
    serializer_class = SimulationSerializer

    def get_queryset(self) -> QuerySet[Rehearsal]:
        """Return the simulations of the named workflow."""
        return selectors.query_simulations(workflow=str(self.kwargs.get("name")))

    @extend_schema(operation_id="simulations_list", tags=["workflows"])
    def get(self, request: TenantRequest, name: str) -> Response:  # type: ignore[override]
        """List the simulations, newest first."""
        get_workflow(tenant=request.tenant, name=name)
        page = self.paginate_queryset(self.get_queryset()) or []
        views = [selectors.view_of(row) for row in page]
        return self.get_paginated_response(self.get_serializer(views, many=True).data)

    @extend_schema(
        operation_id="simulations_start",
        tags=["workflows"],
        request=SelectionRequest,
        responses={201: SimulationSerializer},
    )
    def post(self, request: TenantRequest, name: str) -> Response:
        """Rehearse the draft on recorded runs, in the background."""
        get_workflow(tenant=request.tenant, name=name)
        selection, against = _selection(request.data)
        begun = services.start_simulation(
            tenant=request.tenant,
            name=name,
            selection=selection,
            against=against,
            rehearsal_id=request.write_id,
            actor=actor_of(request),
        )
        return Response(SimulationSerializer(begun).data, status=status.HTTP_201_CREATED)


class EstimateView(APIView):
    """What a simulation would take."""

    required_scopes = {"GET": "read:runs"}

    @extend_schema(
        operation_id="simulations_estimate",
        tags=["workflows"],
        parameters=[SelectionRequest],
        responses=EstimateSerializer,
    )
    def get(self, request: TenantRequest, name: str) -> Response:
        """Tell how many runs a simulation would take, their tokens and cost, and what is left for today."""
        get_workflow(tenant=request.tenant, name=name)
        selection, against = _selection(request.query_params)
        estimate = selectors.estimate_simulation(
            tenant=request.tenant, workflow=name, selection=selection, against=against
        )
        return Response(EstimateSerializer(estimate).data)


class SimulationView(APIView):
    """One simulation."""

    required_scopes = SCOPES

    @extend_schema(operation_id="simulations_retrieve", tags=["workflows"], responses=SimulationSerializer)
    def get(self, request: TenantRequest, rehearsal_id: UUID) -> Response:
        """Show how far a simulation is and what it has shown."""
        view: RehearsalView = selectors.get_rehearsal(tenant=request.tenant, rehearsal_id=rehearsal_id)
        return Response(SimulationSerializer(view).data)


class CancelSimulationView(APIView):
    """Stops a simulation."""

    required_scopes = SCOPES

    @extend_schema(
        operation_id="simulations_cancel", tags=["workflows"], request=None, responses=SimulationSerializer
    )
    def post(self, request: TenantRequest, rehearsal_id: UUID) -> Response:
        """Stop a simulation; what it has shown so far stays."""
        view = services.cancel_simulation(
            tenant=request.tenant, rehearsal_id=rehearsal_id, actor=actor_of(request)
        )
        return Response(SimulationSerializer(view).data)


class CasePages(api_settings.DEFAULT_PAGINATION_CLASS):  # type: ignore[name-defined]
    """What has changed most comes first."""

    ordering = ("-rank", "-id")


class CasesView(generics.ListAPIView[Any]):
    """The finished cases of a simulation."""

    required_scopes = SCOPES
    serializer_class = CaseSerializer
    pagination_class = CasePages

    def get_queryset(self) -> QuerySet[RehearsalCase]:
        """Return the simulation's cases."""
        return RehearsalCase.objects.filter(rehearsal_id=self.kwargs.get("rehearsal_id"))

    @extend_schema(operation_id="simulation_cases_list", tags=["workflows"], parameters=[ChangeFilter])
    def get(self, request: TenantRequest, rehearsal_id: UUID) -> Response:  # type: ignore[override]
        """List the cases with both outcomes, the changed ones first."""
        selectors.get_rehearsal(tenant=request.tenant, rehearsal_id=rehearsal_id)
        asked = ChangeFilter(data=request.query_params)
        asked.is_valid(raise_exception=True)
        cases = selectors.query_cases(rehearsal_id=rehearsal_id, **asked.validated_data)
        views: list[CaseView] = [case.view() for case in self.paginate_queryset(cases) or []]
        return self.get_paginated_response(self.get_serializer(views, many=True).data)


class GateView(APIView):
    """What a workflow's draft has to show before it is published."""

    required_scopes = {"GET": "read:workflows", "PUT": "write:gates", "DELETE": "write:gates"}

    @extend_schema(operation_id="workflows_gate", tags=["workflows"], responses=GateStateSerializer)
    def get(self, request: TenantRequest, name: str) -> Response:
        """Show the replay gate as a checklist for the present draft."""
        return Response(GateStateSerializer(_gate_state(request, name)).data)

    @extend_schema(
        operation_id="workflows_set_gate",
        tags=["workflows"],
        request=GateSerializer,
        responses=GateStateSerializer,
    )
    def put(self, request: TenantRequest, name: str) -> Response:
        """Set the gate of this workflow, in the place of the company's default."""
        get_workflow(tenant=request.tenant, name=name)
        _set_gate(request, name)
        return Response(GateStateSerializer(_gate_state(request, name)).data)

    @extend_schema(operation_id="workflows_remove_gate", tags=["workflows"], responses={204: None})
    def delete(self, request: TenantRequest, name: str) -> Response:
        """Let the company's default hold for this workflow again."""
        get_workflow(tenant=request.tenant, name=name)
        rules.remove_gate(tenant=request.tenant, workflow=name, actor=actor_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


class DefaultGateView(APIView):
    """The company's default of the replay gate."""

    required_scopes = {"GET": "read:workflows", "PUT": "write:gates"}

    @extend_schema(operation_id="replay_gate", tags=["workflows"], responses=GateSerializer)
    def get(self, request: TenantRequest) -> Response:
        """Show what holds for every workflow that has no gate of its own."""
        return Response(GateSerializer(gate.get_rules(tenant=request.tenant)).data)

    @extend_schema(
        operation_id="replay_gate_set", tags=["workflows"], request=GateSerializer, responses=GateSerializer
    )
    def put(self, request: TenantRequest) -> Response:
        """Set what holds for every workflow that has no gate of its own."""
        return Response(GateSerializer(_set_gate(request, "")).data)


def _selection(data: Any) -> tuple[Selection, Against]:
    asked = SelectionRequest(data=data)
    asked.is_valid(raise_exception=True)
    given = dict(asked.validated_data)
    against = Against(given.pop("against"))
    return Selection(**given), against


def _set_gate(request: TenantRequest, workflow: str) -> GateRules:
    asked = GateSerializer(data=request.data)
    asked.is_valid(raise_exception=True)
    given = GateRules(workflow=workflow, **asked.validated_data)
    return rules.set_gate(tenant=request.tenant, rules=given, actor=actor_of(request))


def _gate_state(request: TenantRequest, name: str) -> GateState:
    """Return the state of the draft; without one, the rules that will hold for the next."""
    state = gate.get_gate_state(tenant=request.tenant, workflow=name)
    if state is not None:
        return state
    found = gate.get_rules(tenant=request.tenant, workflow=name)
    return GateState(rules=found, applies=False, reason="There is no draft.")


urlpatterns = [
    path("workflows/<str:name>/dry-run", DryRunView.as_view(), name="workflow-dry-run"),
    path("workflows/<str:name>/simulations", SimulationsView.as_view(), name="workflow-simulations"),
    path("workflows/<str:name>/simulations/estimate", EstimateView.as_view(), name="simulation-estimate"),
    path("workflows/<str:name>/gate", GateView.as_view(), name="workflow-gate"),
    path("replay-gate", DefaultGateView.as_view(), name="replay-gate"),
    path("simulations/<uuid:rehearsal_id>", SimulationView.as_view(), name="simulation"),
    path("simulations/<uuid:rehearsal_id>/cancel", CancelSimulationView.as_view(), name="simulation-cancel"),
    path("simulations/<uuid:rehearsal_id>/cases", CasesView.as_view(), name="simulation-cases"),
]
