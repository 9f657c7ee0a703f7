"""Documents, their original bytes, and the passages that a search finds. All in the tenant's schema."""

from typing import ClassVar

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models
from pgvector.django import HnswIndex, VectorField

from apps.ingestion.contracts import DocumentKind, DocumentStatus, DocumentView
from apps.tenants.orm import TenantModel

DIMENSIONS = 384


class DocumentQuerySet(models.QuerySet["Document"]):
    def kept(self) -> "DocumentQuerySet":
        """Leave out what was deleted and waits for an undo."""
        return self.filter(deleted_at__isnull=True)


class Document(TenantModel):
    """A source of knowledge.

    Work on it is claimed by lease: `lease_epoch` grows with each claim and fences off a worker that
    lost its own. `revision` counts the requests to (re)index it.
    """

    title = models.CharField(max_length=300)
    is_title_given = models.BooleanField(default=False)
    kind = models.CharField(max_length=8, choices=[(kind.value, kind.value) for kind in DocumentKind])
    file_name = models.CharField(max_length=255, blank=True)
    url = models.CharField(max_length=2000, blank=True)
    size_bytes = models.PositiveBigIntegerField(default=0)
    content_sha256 = models.CharField(max_length=64)
    language = models.CharField(max_length=8, blank=True)

    status = models.CharField(
        max_length=12,
        default=DocumentStatus.QUEUED.value,
        choices=[(status.value, status.value) for status in DocumentStatus],
    )
    progress_percent = models.PositiveSmallIntegerField(default=0)
    error = models.TextField(blank=True)
    revision = models.PositiveIntegerField(default=1)
    attempts = models.PositiveSmallIntegerField(default=0)
    lease_epoch = models.PositiveIntegerField(default=0)
    leased_until = models.DateTimeField(null=True, blank=True)
    queued_at = models.DateTimeField(auto_now_add=True)
    processed_at = models.DateTimeField(null=True, blank=True)

    deleted_at = models.DateTimeField(null=True, blank=True)  # its bytes wait a day for an undo

    title_vector = VectorField(dimensions=DIMENSIONS, null=True, blank=True)
    embedder = models.CharField(max_length=80, blank=True)
    chunk_count = models.PositiveIntegerField(default=0)
    token_count = models.PositiveIntegerField(default=0)

    objects = models.Manager.from_queryset(DocumentQuerySet)()

    class Meta:
        indexes: ClassVar = [
            models.Index(
                fields=["queued_at"],
                name="document_unfinished",
                condition=~models.Q(status__in=["ready", "failed"]),
            ),
            models.Index(fields=["content_sha256"], name="document_content"),
            models.Index(
                fields=["deleted_at"],
                name="document_deleted",
                condition=models.Q(deleted_at__isnull=False),
            ),
            HnswIndex(fields=["title_vector"], name="document_title_hnsw", opclasses=["vector_cosine_ops"]),
        ]

    def __str__(self) -> str:
        return self.title

    def to_view(self) -> DocumentView:
        """Return what others may see."""
        return DocumentView(
            id=self.id,
            title=self.title,
            kind=DocumentKind(self.kind),
            status=DocumentStatus(self.status),
            progress_percent=self.progress_percent,
            error=self.error,
            file_name=self.file_name,
            url=self.url,
            size_bytes=self.size_bytes,
            language=self.language,
            chunk_count=self.chunk_count,
            token_count=self.token_count,
            created_at=self.created_at,
            processed_at=self.processed_at,
        )


class Original(TenantModel):
    """The bytes of a document as they came: with its row, so that neither is ever without the other."""

    document = models.OneToOneField(Document, on_delete=models.CASCADE, related_name="original")
    content = models.BinaryField()


class Chunk(TenantModel):
    """A passage with its vector and its search terms."""

    document = models.ForeignKey(Document, on_delete=models.CASCADE, related_name="chunks", db_index=False)
    position = models.PositiveIntegerField()
    heading = models.CharField(max_length=500, blank=True)
    text = models.TextField()
    token_count = models.PositiveIntegerField()
    terms = SearchVectorField()
    vector = VectorField(dimensions=DIMENSIONS)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["document", "position"], name="chunk_once_per_position")
        ]
        indexes: ClassVar = [
            GinIndex(fields=["terms"], name="chunk_terms_gin", fastupdate=False),
            HnswIndex(fields=["vector"], name="chunk_vector_hnsw", opclasses=["vector_cosine_ops"]),
        ]


class QuestionGroup(TenantModel):
    """Questions alike that the knowledge could not answer; `vector` is the first one's."""

    class Status(models.TextChoices):
        OPEN = "open"
        ANSWERED = "answered"
        DISMISSED = "dismissed"

    text = models.CharField(max_length=500)
    vector = VectorField(dimensions=DIMENSIONS)
    status = models.CharField(max_length=10, choices=Status, default=Status.OPEN)
    count = models.PositiveIntegerField(default=0)
    last_asked_at = models.DateTimeField()
    document = models.ForeignKey(
        Document, on_delete=models.SET_NULL, null=True, blank=True, related_name="+", db_index=False
    )

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["status", "-last_asked_at", "-id"], name="question_group_newest"),
            HnswIndex(fields=["vector"], name="question_group_hnsw", opclasses=["vector_cosine_ops"]),
        ]

    def __str__(self) -> str:
        return self.text


class Question(TenantModel):
    """What a customer asked and whether it was answered, put together from two events in any order.

    Answered ones go; unanswered ones stay with their group.
    """

    run_id = models.UUIDField(unique=True)
    conversation_id = models.UUIDField(null=True, blank=True)
    text = models.CharField(max_length=2000, blank=True)
    is_unanswered = models.BooleanField(null=True, blank=True)
    asked_at = models.DateTimeField()
    group = models.ForeignKey(
        QuestionGroup, on_delete=models.CASCADE, null=True, blank=True, related_name="questions"
    )

    class Meta:
        indexes: ClassVar = [
            models.Index(
                fields=["asked_at"],
                name="question_ungrouped",
                condition=models.Q(group__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return self.text[:60]
