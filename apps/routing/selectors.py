"""Read intents and router models."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db.models import Count

from apps.resilience.errors import NotFoundError
from apps.routing.contracts import CandidateView, ExampleView, IntentView, ModelFigures, RouterModelView
from apps.routing.default_model import default_intents, shipped_figures
from apps.routing.models import Intent, IntentExample, RouterModel, RouterTraining
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef


@dataclass(frozen=True)
class ActiveVersion:
    id: UUID
    version: int


def get_active_version(*, tenant: TenantRef) -> ActiveVersion | None:
    """Return which model routes, without loading it; None while the tenant has trained none."""
    with in_tenant(tenant):
        row = RouterModel.objects.filter(is_active=True).values_list("id", "version").first()
    return ActiveVersion(*row) if row else None


def get_active_model(*, tenant: TenantRef) -> RouterModelView | None:
    """Return the model that routes; None while the tenant has trained none."""
    with in_tenant(tenant):
        model = RouterModel.objects.filter(is_active=True).defer("payload").first()
    return model.view() if model else None


def get_model_payload(*, tenant: TenantRef, model_id: UUID) -> bytes:
    """Return a model's bytes; raises NotFoundError."""
    with in_tenant(tenant):
        payload = RouterModel.objects.filter(id=model_id).values_list("payload", flat=True).first()
    if payload is None:
        raise NotFoundError("There is no such router model.")
    return bytes(payload)


def get_content_hash(*, tenant: TenantRef, model_id: UUID) -> str | None:
    """Return what a model was trained on, as a hash; None for a model that is gone."""
    with in_tenant(tenant):
        return RouterModel.objects.filter(id=model_id).values_list("content_hash", flat=True).first()


def list_examples(*, tenant: TenantRef) -> list[tuple[str, str]]:
    """Return (intent, text) of every example, in a stable order."""
    with in_tenant(tenant):
        return list(IntentExample.objects.order_by("text_hash").values_list("intent__name", "text"))


def list_intents(*, tenant: TenantRef) -> list[IntentView]:
    """Return the tenant's own intents by name; empty while it uses the shipped ones unchanged."""
    with in_tenant(tenant):
        intents = list(Intent.objects.annotate(count=Count("examples")).order_by("name"))
    return [IntentView(intent.name, intent.description, intent.count) for intent in intents]


def get_version(*, tenant: TenantRef, version: int) -> RouterModelView:
    """Return a kept version; raises NotFoundError."""
    with in_tenant(tenant):
        model = RouterModel.objects.filter(version=version).defer("payload").first()
    if model is None:
        raise NotFoundError("There is no such router model.")
    return model.view()


def list_versions(*, tenant: TenantRef) -> list[RouterModelView]:
    """Return the kept versions, newest first; only the latest few are kept."""
    with in_tenant(tenant):
        return [model.view() for model in RouterModel.objects.defer("payload").order_by("-version")]


def get_figures(*, tenant: TenantRef) -> ModelFigures | None:
    """Return how the model that routes does; None where this machine has not measured the shipped one."""
    active = get_active_model(tenant=tenant)
    if active is None:
        return shipped_figures()
    return ModelFigures(active.examples, active.accuracy, active.calibration_error, active.by_intent)


def get_intent(*, tenant: TenantRef, name: str) -> IntentView:
    """Return an intent, also a shipped one while the tenant has none of its own; raises NotFoundError."""
    for intent in list_intents(tenant=tenant) or list_shipped_intents():
        if intent.name == name:
            return intent
    raise NotFoundError(f"There is no intent {name!r}.")


def list_shipped_intents() -> list[IntentView]:
    """Return what a tenant has that has taught nothing."""
    return [IntentView(name, about, len(texts)) for name, (about, texts) in default_intents().items()]


def get_example(*, tenant: TenantRef, example_id: UUID) -> ExampleView:
    """Return an example; raises NotFoundError."""
    with in_tenant(tenant):
        example = IntentExample.objects.filter(id=example_id).select_related("intent").first()
    if example is None:
        raise NotFoundError("There is no such example.")
    return example.view()


def get_candidate(*, tenant: TenantRef, training_id: UUID) -> CandidateView:
    """Return a training; raises NotFoundError."""
    with in_tenant(tenant):
        training = RouterTraining.objects.filter(id=training_id).defer("payload").first()
    if training is None:
        raise NotFoundError("There is no such training.")
    return training.view()


def find_last_candidate(*, tenant: TenantRef) -> CandidateView | None:
    """Return the training that was asked for last, if any."""
    with in_tenant(tenant):
        training = RouterTraining.objects.defer("payload").order_by("-id").first()
    return training.view() if training else None
