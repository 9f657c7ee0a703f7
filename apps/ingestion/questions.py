"""Questions that the knowledge could not answer: grouped by likeness, answered with an article, dismissed."""

import datetime as dt
from dataclasses import dataclass
from uuid import UUID

from django.db.models import F
from django.db.models.functions import Greatest, Now
from pgvector.django import CosineDistance

from apps.inference.services import embed_texts
from apps.ingestion.contracts import DocumentView
from apps.ingestion.models import Question, QuestionGroup
from apps.ingestion.services import add_document
from apps.resilience.errors import ConflictError, NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef

ALIKE = 0.25  # cosine distance up to which two questions ask the same
AT_ONCE = 50
KEPT = dt.timedelta(days=1)  # how long half a question waits for its other half


@dataclass(frozen=True)
class AnsweredGroup:
    group: QuestionGroup
    document: DocumentView


def group_questions(*, tenant: TenantRef) -> int:
    """Put the questions that came without an answer to those alike; return how many there were."""
    with in_tenant(tenant):
        Question.objects.filter(group__isnull=True, asked_at__lt=Now() - KEPT).exclude(
            is_unanswered=True, text__gt=""
        ).delete()
        waiting = Question.objects.filter(group__isnull=True, is_unanswered=True).exclude(text="")
        questions = list(waiting.order_by("asked_at").values_list("id", "text")[:AT_ONCE])
    if not questions:
        return 0
    vectors = embed_texts([text for _, text in questions])
    for (question_id, _), vector in zip(questions, vectors, strict=True):
        _group(tenant, question_id, vector.tolist())
    return len(questions)


def answer_group(*, tenant: TenantRef, group_id: UUID, title: str, text: str) -> AnsweredGroup:
    """Write the article that answers a group; raises NotFoundError, ConflictError, InvalidInput."""
    with in_tenant(tenant):
        group = _lock(group_id)
        if group.status == QuestionGroup.Status.ANSWERED:
            raise ConflictError("Somebody has answered this meanwhile; open the article to change it.")
        document = add_document(tenant=tenant, title=title, text=text)
        group.status, group.document_id = QuestionGroup.Status.ANSWERED, document.id
        group.save(update_fields=["status", "document_id"])
    return AnsweredGroup(group, document)


def dismiss_group(*, tenant: TenantRef, group_id: UUID) -> None:
    """Take a group off the list; raises NotFoundError."""
    _set_status(tenant, group_id, QuestionGroup.Status.DISMISSED)


def reopen_group(*, tenant: TenantRef, group_id: UUID) -> None:
    """Put a group back on the list; raises NotFoundError."""
    _set_status(tenant, group_id, QuestionGroup.Status.OPEN)


def get_group(*, tenant: TenantRef, group_id: UUID) -> QuestionGroup:
    """Return a group; raises NotFoundError."""
    with in_tenant(tenant):
        found = QuestionGroup.objects.defer("vector").filter(id=group_id).first()
    if found is None:
        raise NotFoundError("There is no such question.")
    return found


def _group(tenant: TenantRef, question_id: UUID, vector: list[float]) -> None:
    with in_tenant(tenant):
        question = Question.objects.select_for_update().filter(id=question_id, group__isnull=True).first()
        if question is None:
            return
        question.group_id = _nearest(vector) or _begin_group(question, vector)
        question.save(update_fields=["group"])
        groups = QuestionGroup.objects.filter(id=question.group_id)
        last = Greatest("last_asked_at", question.asked_at)
        groups.update(count=F("count") + 1, last_asked_at=last)
        # Asked again although an article was written: it does not answer, so the group is open again.
        groups.filter(status=QuestionGroup.Status.ANSWERED).update(status=QuestionGroup.Status.OPEN)


def _nearest(vector: list[float]) -> UUID | None:
    near = QuestionGroup.objects.annotate(distance=CosineDistance("vector", vector)).order_by("distance")
    row = near.values_list("id", "distance").first()
    return row[0] if row and row[1] <= ALIKE else None


def _begin_group(question: Question, vector: list[float]) -> UUID:
    return QuestionGroup.objects.create(
        text=question.text[:500], vector=vector, last_asked_at=question.asked_at
    ).id


def _set_status(tenant: TenantRef, group_id: UUID, status: str) -> None:
    with in_tenant(tenant):
        group = _lock(group_id)
        group.status = status
        group.save(update_fields=["status"])


def _lock(group_id: UUID) -> QuestionGroup:
    found = QuestionGroup.objects.select_for_update().defer("vector").filter(id=group_id).first()
    if found is None:
        raise NotFoundError("There is no such question.")
    return found
