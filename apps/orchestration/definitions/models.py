"""Workflows, their versions, and how a tenant sets up its tools."""

from django.db import models
from django.db.models import Q

from apps.orchestration.definitions.contracts import VersionState
from apps.tenants.orm import SealedTextField, TenantModel


class Workflow(TenantModel):
    """A workflow by its name; what it does is in its versions."""

    name = models.CharField(max_length=63, unique=True)
    description = models.CharField(max_length=1000, blank=True)
    updated_at = models.DateTimeField(auto_now=True)


class WorkflowVersion(TenantModel):
    """One source with what it compiled to; published ones never change, runs are pinned to their hash."""

    workflow = models.ForeignKey(Workflow, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    label = models.CharField(max_length=40, blank=True)
    source = models.TextField()
    hash = models.CharField(max_length=64)
    compiled = models.JSONField(null=True)
    triggers = models.JSONField(default=list)
    state = models.CharField(max_length=10, choices=[(s.value, s.value) for s in VersionState])
    published_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["workflow", "number"], name="workflow_version_number"),
            models.UniqueConstraint(
                fields=["workflow"], condition=Q(state="published"), name="workflow_one_published"
            ),
            models.UniqueConstraint(
                fields=["workflow"], condition=Q(state="draft"), name="workflow_one_draft"
            ),
            models.CheckConstraint(
                condition=Q(state="draft") | Q(compiled__isnull=False), name="workflow_published_is_compiled"
            ),
        ]
        indexes = [models.Index(fields=["hash"], name="workflow_version_hash")]


class ToolSetting(TenantModel):
    """How a tenant uses one tool: whether at all, and with which settings.

    Where one of them is a secret, `config` holds a mask; the secrets lie sealed beside it.
    """

    tool = models.CharField(max_length=63, unique=True)
    is_enabled = models.BooleanField(default=True)
    config = models.JSONField(default=dict)
    secrets = SealedTextField(blank=True, default="")
    updated_at = models.DateTimeField(auto_now=True)
