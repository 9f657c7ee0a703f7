"""Tenants and who may act in them; every table lives in the schema `public`."""

import datetime as dt
from typing import Any

from django.apps import apps
from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Now
from django_tenants.models import TenantMixin
from uuid_utils.compat import uuid7

from apps.tenants.context import OWNER
from apps.tenants.contracts import Role, TenantRef
from apps.tenants.orm import SealedTextField


class Tenant(TenantMixin):
    """A company on the platform; its own tables live in `schema_name`."""

    class Status(models.TextChoices):
        ACTIVE = "active"
        SUSPENDED = "suspended"
        CLOSING = "closing"  # its deletion was asked for; it may still be cancelled
        DELETED = "deleted"  # the row alone is left, so that nobody gets its address by accident

    auto_create_schema = False
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slug = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=200)
    status = models.CharField(max_length=20, choices=Status, default=Status.ACTIVE)
    time_zone = models.CharField(max_length=64, default="UTC")
    config = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name

    def _check_schema_name_is_unique(self) -> None:
        # django-tenants asks on the default connection, where no tenant is entered yet.
        if Tenant.objects.using(OWNER).filter(schema_name__iexact=self.schema_name).exists():
            raise ValidationError(f"The schema name {self.schema_name!r} is taken.")

    @property
    def ref(self) -> TenantRef:
        is_suspended, is_closing = self.status != self.Status.ACTIVE, self.status == self.Status.CLOSING
        return TenantRef(self.id, self.slug, self.schema_name, is_suspended, is_closing)


class Domain(models.Model):
    """A host name that a company claims, with the token that proves it.

    Once it is proven it leads to the company, and to no other; it is asked for its proof again at `due_at`.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=253)  # in ASCII and small letters
    token = models.CharField(max_length=64)  # public once it is published
    added_by = models.CharField(max_length=100, blank=True)
    verified_at = models.DateTimeField(null=True, blank=True)
    checked_at = models.DateTimeField(null=True, blank=True)
    due_at = models.DateTimeField(null=True, blank=True)
    failing_since = models.DateTimeField(null=True, blank=True)  # while it is proven and cannot be asked
    problem = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "name"], name="one_claim_per_domain"),
            models.UniqueConstraint(
                fields=["name"], condition=models.Q(verified_at__isnull=False), name="one_owner_per_domain"
            ),
        ]
        indexes = [
            models.Index(fields=["due_at"], condition=models.Q(verified_at__isnull=False), name="domain_due"),
        ]

    def __str__(self) -> str:
        return self.name


class UserManager(BaseUserManager["User"]):
    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email=(username or "").lower())

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """Make a member of the platform's staff who may do everything; for `createsuperuser`."""
        user = self.model(email=email.lower(), is_staff=True, is_superuser=True, **fields)
        user.set_password(password)
        user.save(using=self._db)
        addresses = apps.get_model("account", "EmailAddress")._default_manager
        addresses.create(user_id=user.pk, email=user.email, verified=True, primary=True)
        return user


class User(AbstractBaseUser, PermissionsMixin):
    """A person; what they may do in a tenant is their membership's role."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    email = models.EmailField(unique=True)  # kept in lower case
    name = models.CharField(max_length=200, blank=True)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    USERNAME_FIELD = "email"
    objects = UserManager()


class Membership(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    role = models.CharField(max_length=20, choices=[(role.value, role.value) for role in Role])
    wants_mail = models.BooleanField(default=True, db_default=True)  # when a customer waits for a person
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "user"], name="one_membership_per_tenant")]


class Invitation(models.Model):
    """A call to join a tenant; of the token in its link only a hash is kept, and it works once."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    email = models.EmailField()
    role = models.CharField(max_length=20, choices=[(role.value, role.value) for role in Role])
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    invited_by = models.CharField(max_length=100)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)


class ApiKey(models.Model):
    """A developer's key: `key_id` is public, of the secret only a hash is kept."""

    key_id = models.CharField(primary_key=True, max_length=32, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=100)
    secret_hash = models.CharField(max_length=64, editable=False)
    scopes = models.JSONField(default=list)
    rate_limits = models.JSONField(default=dict, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)  # to the minute
    made_by = models.CharField(max_length=100, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    def is_usable(self, now: dt.datetime) -> bool:
        expired = self.expires_at is not None and self.expires_at <= now
        return not expired and (self.revoked_at is None or self.revoked_at > now)


class Notice(models.Model):
    """A mail to a company's owners, written with what it tells of, to those who are owners at that moment."""

    class Status(models.TextChoices):
        WAITING = "waiting"
        SENDING = "sending"
        SENT = "sent"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=100)  # the same notice again is written once
    recipients = models.JSONField(default=list)
    subject = models.CharField(max_length=200)
    text = models.TextField()
    status = models.CharField(max_length=10, choices=Status, default=Status.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField(db_default=Now())
    cause = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "key"], name="one_notice_per_key")]
        indexes = [
            models.Index(fields=["due_at"], condition=models.Q(status="waiting"), name="notice_due"),
            models.Index(fields=["created_at"], name="notice_age"),
        ]

    def __str__(self) -> str:
        return self.subject


class TenantExport(models.Model):
    """A wish for an archive of everything, and what became of it.

    Who works on it holds a lease; `lease_epoch` shuts out a worker that has slept through its own.
    """

    class Status(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        READY = "ready"
        FAILED = "failed"
        EXPIRED = "expired"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    requested_by = models.CharField(max_length=100)
    status = models.CharField(max_length=10, choices=Status, default=Status.QUEUED)
    progress_percent = models.PositiveSmallIntegerField(default=0)
    rows = models.PositiveBigIntegerField(default=0)
    files = models.PositiveIntegerField(default=0)
    size_bytes = models.PositiveBigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    error = models.CharField(max_length=500, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    lease_epoch = models.PositiveIntegerField(default=0)
    leased_until = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant"],
                condition=models.Q(status__in=["queued", "running"]),
                name="one_open_export",
            )
        ]
        indexes = [
            models.Index(fields=["tenant", "-id"], name="export_newest"),
            models.Index(
                fields=["leased_until"],
                condition=models.Q(status__in=["queued", "running"]),
                name="export_open",
            ),
        ]


class Erasure(models.Model):
    """A customer who is forgotten, step by step; afterwards the signed manifest alone is left.

    `sealed` holds what leads to the traces, encrypted, for as long as the work goes on.
    """

    class Status(models.TextChoices):
        RUNNING = "running"
        DONE = "done"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    customer_hash = models.CharField(max_length=64)
    requested_by = models.CharField(max_length=100)
    status = models.CharField(max_length=10, choices=Status, default=Status.RUNNING)
    sealed = SealedTextField(blank=True)
    done_steps = models.JSONField(default=list)
    rows = models.JSONField(default=dict)
    manifest = models.JSONField(null=True)
    signature = models.CharField(max_length=64, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    error = models.CharField(max_length=100, blank=True)
    leased_until = models.DateTimeField(null=True, blank=True)
    lease_epoch = models.PositiveIntegerField(default=0)
    finished_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "customer_hash"], name="one_erasure_per_customer")
        ]
        indexes = [
            models.Index(
                fields=["leased_until"], condition=models.Q(status="running"), name="erasure_running"
            ),
        ]


class TenantDeletion(models.Model):
    """A company's wish to be deleted; once it is carried out, its signed manifest is the record of that."""

    class Status(models.TextChoices):
        PENDING = "pending"
        CANCELLED = "cancelled"
        RUNNING = "running"  # there is no way back
        DONE = "done"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    status = models.CharField(max_length=10, choices=Status, default=Status.PENDING)
    status_before = models.CharField(max_length=20)
    requested_by = models.CharField(max_length=100)
    recipients = models.JSONField(default=list, editable=False)  # who is told when it is done
    due_at = models.DateTimeField()
    done_steps = models.JSONField(default=list)
    rows = models.JSONField(default=dict)
    manifest = models.JSONField(null=True)
    signature = models.CharField(max_length=64, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    error = models.CharField(max_length=500, blank=True)
    lease_epoch = models.PositiveIntegerField(default=0)
    leased_until = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant"],
                condition=models.Q(status__in=["pending", "running"]),
                name="one_open_deletion",
            )
        ]
        indexes = [
            models.Index(
                fields=["due_at"],
                condition=models.Q(status__in=["pending", "running"]),
                name="deletion_open",
            )
        ]

    def __str__(self) -> str:
        return f"Asked for on {self.created_at:%Y-%m-%d}"


class WidgetKey(models.Model):
    """A public key that a site's script tag carries, and the secret that signs its customers' identities.

    What `settings` mean is the widget's affair (apps.realtime). `version` counts changes of name, origins and
    settings, so that a second editor is told.
    """

    key = models.CharField(primary_key=True, max_length=40, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=100, default="Website")
    allowed_origins = models.JSONField(default=list, blank=True)
    settings = models.JSONField(default=dict, blank=True)
    version = models.PositiveIntegerField(default=0)
    changed_by = models.CharField(max_length=100, blank=True)
    identity_secret = SealedTextField()
    secret_version = models.PositiveIntegerField(default=0)
    secret_shown_at = models.DateTimeField(null=True, blank=True)
    previous_secret = SealedTextField(blank=True)  # signs until it ends, after a rotation
    previous_secret_ends_at = models.DateTimeField(null=True, blank=True)
    is_active = models.BooleanField(default=True)
    embedded_at = models.DateTimeField(null=True, blank=True)  # first seen on a page that is not ours
    created_at = models.DateTimeField(auto_now_add=True)


class AuditEvent(models.Model):
    """A privileged act; the application role may add rows, never change them.

    `address` is where the request came from; NULL for what no request asked for.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    actor = models.CharField(max_length=100)
    action = models.CharField(max_length=100)
    target = models.CharField(max_length=200, blank=True)
    data = models.JSONField(default=dict, blank=True)
    address = models.GenericIPAddressField(null=True, blank=True)
    occurred_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [
            models.Index(fields=["tenant", "-occurred_at", "-id"], name="audit_by_time"),
            models.Index(fields=["tenant", "actor", "-occurred_at", "-id"], name="audit_by_actor"),
            models.Index(fields=["tenant", "action", "-occurred_at", "-id"], name="audit_by_action"),
            models.Index(fields=["tenant", "target", "-occurred_at", "-id"], name="audit_by_target"),
            models.Index(fields=["occurred_at"], name="audit_by_age"),
            models.Index(
                fields=["-id"], condition=models.Q(actor__startswith="staff:"), name="audit_of_staff"
            ),
        ]

    def __str__(self) -> str:
        return self.action
