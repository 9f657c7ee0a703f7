"""Forget the reasons of a customer's escalations; their conversations stay counted."""

from django.db import connection
from django.utils import timezone

from apps.analytics.models import KpiBucket, KpiDay
from apps.analytics.projection import project, shown_generation
from apps.tenants.contracts import Erased, Subject, TenantRef

COUNTS = "kept: counts, times and costs without a word; the conversation's id leads nowhere any more"
RULES = {
    "analytics.ArchivedEvent": "emptied",
    "analytics.ConversationFact": COUNTS,
    "analytics.KpiBucket": COUNTS,
    "analytics.KpiDay": COUNTS,
    "analytics.ReadModelState": "kept: how the figures are computed",
    "analytics.ReportSchedule": "kept: settings of the company",
    "analytics.SentReport": "kept: when a report was mailed",
}


def erase_traces(*, tenant: TenantRef, subject: Subject) -> Erased:
    """Take the reasons out of the archive and project anew, in the caller's transaction."""
    generation = shown_generation(tenant.id)
    with connection.cursor() as cursor:
        cursor.execute("SELECT forget_escalation_reasons(%s)", [list(subject.conversation_ids)])
        [total] = cursor.fetchone()
    for conversation_id in subject.conversation_ids:
        project(tenant.id, conversation_id, generation=generation, as_of=timezone.now())
    for model in (KpiBucket, KpiDay):
        model.objects.filter(tenant_id=tenant.id, amount=0).delete()
    return Erased({"analytics.ArchivedEvent": total})
