"""Forget a customer's questions, and the groups that are worded as they asked."""

from django.db.models import Count, F, Q

from apps.ingestion.models import Question, QuestionGroup
from apps.tenants.contracts import Erased, Subject, TenantRef

COMPANYS = "kept: the company's knowledge; nothing a customer writes becomes a part of it by itself"
RULES = {
    "ingestion.Question": "erased",
    "ingestion.QuestionGroup": "erased",
    "ingestion.Document": COMPANYS,
    "ingestion.Original": COMPANYS,
    "ingestion.Chunk": COMPANYS,
}


def erase_traces(*, tenant: TenantRef, subject: Subject) -> Erased:
    """Delete questions in the caller's transaction; a group worded by one is taken apart."""
    questions = Question.objects.filter(
        Q(conversation_id__in=subject.conversation_ids) | Q(run_id__in=subject.run_ids)
    )
    texts = {text[:500] for text in questions.values_list("text", flat=True)}
    counts = list(questions.exclude(group=None).order_by().values("group_id").annotate(total=Count("id")))
    worded = QuestionGroup.objects.filter(id__in=[row["group_id"] for row in counts], text__in=texts)
    ids = list(worded.values_list("id", flat=True))
    gone = questions.delete()[0]
    for row in counts:
        QuestionGroup.objects.filter(id=row["group_id"]).update(count=F("count") - row["total"])
    Question.objects.filter(group_id__in=ids).update(group=None)
    groups = QuestionGroup.objects.filter(id__in=ids).delete()[0]
    return Erased({"ingestion.Question": gone, "ingestion.QuestionGroup": groups})
