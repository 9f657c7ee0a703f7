"""Forget rehearsals of what a customer wrote, and of what was answered to them."""

from django.db.models import Q, TextField
from django.db.models.functions import Cast

from apps.orchestration.rehearsals.models import RehearsalCase
from apps.tenants.contracts import Erased, Subject, TenantRef

RULES = {
    "rehearsals.Rehearsal": "kept: settings and sums of the company",
    "rehearsals.RehearsalCase": "erased",
    "rehearsals.ReplayGate": "kept: settings of the company",
}


def erase_traces(*, tenant: TenantRef, subject: Subject) -> Erased:
    """Delete the cases in the caller's transaction; a simulation under way passes over them."""
    of_theirs = Q(conversation_id__in=subject.conversation_ids) | Q(run_id__in=subject.run_ids)
    for identifier in (str(subject.customer_id), *subject.identifiers):
        of_theirs |= Q(given__icontains=identifier) | Q(gave__icontains=identifier)
        of_theirs |= Q(gave_before__icontains=identifier)
    cases = RehearsalCase.objects.annotate(
        given=Cast("input", TextField()),
        gave=Cast("after", TextField()),
        gave_before=Cast("before", TextField()),
    )
    gone = RehearsalCase.objects.filter(id__in=cases.filter(of_theirs).values("id")).delete()[0]
    return Erased({"rehearsals.RehearsalCase": gone})
