"""Notices about escalations."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from apps.orchestration.notices.contracts import NoticeStatus
from apps.tenants.orm import TenantModel

OPEN = [NoticeStatus.WAITING.value, NoticeStatus.SENDING.value]


class SlackNotice(TenantModel):
    """The intent to tell Slack of an escalation, written with it; no words of the customer's are in it."""

    escalation_id = models.UUIDField(unique=True)
    status = models.CharField(
        max_length=16, choices=[(s.value, s.value) for s in NoticeStatus], default=NoticeStatus.WAITING.value
    )
    attempts = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField(db_default=Now())
    cause = models.CharField(max_length=500, blank=True)

    class Meta:
        indexes = [models.Index(fields=["due_at"], condition=Q(status__in=OPEN), name="slack_notice_due")]

    def __str__(self) -> str:
        return f"{self.escalation_id}: {self.status}"
