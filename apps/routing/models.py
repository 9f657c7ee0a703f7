"""A tenant's intents, their examples, and the models learnt from them."""

from __future__ import annotations

import hashlib

from django.db import models

from apps.tenants.orm import TenantModel

MAX_TEXT_CHARS = 2_000


def hash_text(text: str) -> str:
    """Identify a text whatever its case and spacing."""
    return hashlib.sha256(" ".join(text.casefold().split()).encode()).hexdigest()


class Intent(TenantModel):
    """What a customer may want."""

    name = models.SlugField(max_length=50, unique=True)
    description = models.CharField(max_length=300, blank=True)


class IntentExample(TenantModel):
    """A message that has an intent; one text has one intent only."""

    class Origin(models.TextChoices):
        SHIPPED = "shipped"
        WRITTEN = "written"
        FEEDBACK = "feedback"

    intent = models.ForeignKey(Intent, on_delete=models.CASCADE, related_name="examples")
    text = models.CharField(max_length=MAX_TEXT_CHARS)
    text_hash = models.CharField(max_length=64, unique=True, editable=False)
    origin = models.CharField(max_length=20, choices=Origin)


class RouterModel(TenantModel):
    """A trained classifier; exactly one version routes."""

    version = models.PositiveIntegerField(unique=True)
    content_hash = models.CharField(max_length=64)
    is_active = models.BooleanField(default=False)
    intents = models.JSONField()
    examples = models.PositiveIntegerField()
    accuracy = models.FloatField()
    calibration_error = models.FloatField()
    payload = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["is_active"], condition=models.Q(is_active=True), name="one_active_router_model"
            )
        ]
