"""Remembered answers of writes, in the schema `public`."""

from django.db import models

from apps.tenants.orm import SealedTextField, TenantModel


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


class SigningKey(models.Model):
    """A key of the platform that signs tokens: published at once, used from `activates_at` on.

    Gone from the published set, and with it what it has signed, at `retires_at`.
    """

    kid = models.CharField(primary_key=True, max_length=32, editable=False)
    private_key = SealedTextField(editable=False)  # PEM
    public_key = models.TextField(editable=False)  # PEM
    activates_at = models.DateTimeField()
    retires_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.kid


class TokenFamily(TenantModel):
    """Everything that one login with a password was given: `generation` counts its refreshes.

    It ends with the membership and the password that it began with, and at `revoked_at`.
    """

    user_id = models.UUIDField()
    membership_id = models.UUIDField()
    password_stamp = models.CharField(max_length=64)
    has_shown_mfa = models.BooleanField(default=False)  # a second factor, beside the password
    generation = models.PositiveIntegerField(default=0)
    renewed_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [models.Index(fields=["expires_at"], name="token_families_by_end")]
