"""A tenant's intents, their examples, the models learnt from them, and trainings on their way."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from apps.routing.contracts import (
    CandidateView,
    Comparison,
    ExampleView,
    Origin,
    RouterModelView,
    TrainingStatus,
)
from apps.tenants.orm import TenantModel

MAX_TEXT_CHARS = 2_000
OPEN = [TrainingStatus.QUEUED.value, TrainingStatus.TRAINING.value, TrainingStatus.READY.value]


class Intent(TenantModel):
    """What a customer may want."""

    name = models.SlugField(max_length=50, unique=True)
    description = models.CharField(max_length=300, blank=True)


class IntentExample(TenantModel):
    """A message that has an intent; one text has one intent only."""

    intent = models.ForeignKey(Intent, on_delete=models.CASCADE, related_name="examples")
    text = models.CharField(max_length=MAX_TEXT_CHARS)
    text_hash = models.CharField(max_length=64, unique=True, editable=False)
    origin = models.CharField(max_length=20, choices=[(origin.value, origin.label) for origin in Origin])

    def view(self) -> ExampleView:
        return ExampleView(id=self.id, intent=self.intent.name, text=self.text, origin=Origin(self.origin))


class TrainedModel(TenantModel):
    """What a training gives; accuracy and calibration error are of examples held out of it.

    `by_intent` maps each intent to how many of its held-out examples were recognised, and of how many.
    """

    content_hash = models.CharField(max_length=64)
    intents = models.JSONField(default=list)
    examples = models.PositiveIntegerField(default=0)
    accuracy = models.FloatField(default=0)
    calibration_error = models.FloatField(default=0)
    by_intent = models.JSONField(default=dict)

    class Meta:
        abstract = True


class RouterModel(TrainedModel):
    """A trained classifier; at most one version routes, and without any the shipped model does."""

    version = models.PositiveIntegerField(unique=True)
    is_active = models.BooleanField(default=False)
    payload = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["is_active"], condition=Q(is_active=True), name="one_active_router_model"
            )
        ]

    def view(self) -> RouterModelView:
        return RouterModelView(
            id=self.id,
            version=self.version,
            is_active=self.is_active,
            intents=tuple(self.intents),
            examples=self.examples,
            accuracy=self.accuracy,
            calibration_error=self.calibration_error,
            created_at=self.created_at,
            by_intent={intent: (right, of) for intent, (right, of) in self.by_intent.items()},
        )


class RouterTraining(TrainedModel):
    """A training in the background, from the wish to what became of its candidate.

    Who works on it holds a lease; `lease_epoch` shuts out a worker that has slept through its own. `version`
    is what a candidate became that was used.
    """

    status = models.CharField(
        max_length=16,
        choices=[(status.value, status.value) for status in TrainingStatus],
        default=TrainingStatus.QUEUED.value,
    )
    progress_percent = models.PositiveSmallIntegerField(default=0)
    error = models.CharField(max_length=500, blank=True)
    requested_by = models.CharField(max_length=120)
    attempts = models.PositiveSmallIntegerField(default=0)
    lease_epoch = models.PositiveIntegerField(default=0)
    leased_until = models.DateTimeField(null=True, blank=True)
    comparison = models.JSONField(null=True, blank=True)
    payload = models.BinaryField(null=True)
    version = models.PositiveIntegerField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id"], condition=Q(status__in=OPEN), name="one_open_router_training"
            )
        ]

    def view(self) -> CandidateView:
        return CandidateView(
            id=self.id,
            status=TrainingStatus(self.status),
            progress_percent=self.progress_percent,
            error=self.error,
            requested_by=self.requested_by,
            created_at=self.created_at,
            comparison=Comparison.from_dict(self.comparison) if self.comparison else None,
            version=self.version,
        )
