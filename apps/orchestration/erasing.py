"""Forget the runs that answered a customer, or that were given something of theirs."""

from uuid import UUID

from django.db import connection
from django.db.models import Q, TextField
from django.db.models.functions import Cast

from apps.billing.contracts import UsageKind
from apps.billing.services import release_quota
from apps.orchestration.models import AgentRun, RunSignal, RunSnapshot
from apps.tenants.contracts import Erased, Subject, TenantRef

RULES = {
    "orchestration.AgentRun": "erased",
    "orchestration.RunEvent": "erased",
    "orchestration.RunSignal": "erased",
    "orchestration.RunSnapshot": "erased",
    "orchestration.ScheduledTrigger": "kept: the company's own",
    "orchestration.BulkOperation": "kept: what the company's people did; runs appear as ids",
}


def erase_traces(*, tenant: TenantRef, subject: Subject) -> Erased:
    """Delete the runs and their history in the caller's transaction; one under way stops at its next step."""
    of_theirs = Q(conversation_id__in=subject.conversation_ids) | Q(id__in=subject.run_ids)
    for identifier in (str(subject.customer_id), *subject.identifiers):
        of_theirs |= Q(given__icontains=identifier) | Q(gave__icontains=identifier)
    given, gave = Cast("input", TextField()), Cast("output", TextField())
    found = AgentRun.objects.annotate(given=given, gave=gave).filter(of_theirs)
    runs = _with_children(frozenset(found.values_list("id", flat=True)) | subject.run_ids)
    with connection.cursor() as cursor:
        cursor.execute("SELECT erase_run_events(%s)", [list(runs)])
        [events] = cursor.fetchone()
    signals = RunSignal.objects.filter(run_id__in=runs).delete()[0]
    snapshots = RunSnapshot.objects.filter(run_id__in=runs).delete()[0]
    total = AgentRun.objects.filter(id__in=runs).delete()[0]
    release_quota(tenant=tenant, kind=UsageKind.RUN, source_ids=runs)  # those that were under way
    gone = {"AgentRun": total, "RunEvent": events, "RunSignal": signals, "RunSnapshot": snapshots}
    return Erased({f"orchestration.{name}": rows for name, rows in gone.items()}, run_ids=runs)


def _with_children(runs: frozenset[UUID]) -> frozenset[UUID]:
    """Add the runs of these runs' steps, and theirs."""
    found = newest = runs
    while newest:
        children = AgentRun.objects.filter(parent_run_id__in=newest).values_list("id", flat=True)
        newest = frozenset(children) - found
        found |= newest
    return found
