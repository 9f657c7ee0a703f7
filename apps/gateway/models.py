"""Remembered answers of writes, in the schema `public`."""

from django.db import models

from apps.tenants.orm import TenantModel


class IdempotencyRecord(TenantModel):
    """A write that carried an Idempotency-Key: claimed by a lease, then answered once.

    A record without an answer whose lease has ended belongs to whoever asks next.
    """

    principal = models.CharField(max_length=64)
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64)  # SHA-256 of method, path, query and body
    lease_token = models.UUIDField()
    lease_until = models.DateTimeField()
    answered_at = models.DateTimeField(null=True, blank=True)
    status = models.PositiveSmallIntegerField(null=True, blank=True)
    headers = models.JSONField(default=dict, blank=True)
    body = models.BinaryField(null=True, blank=True)  # null: the answer held a secret and was not kept

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant_id", "principal", "key"], name="one_idempotency_record")
        ]
        indexes = [models.Index(fields=["created_at"], name="idempotency_by_age")]
