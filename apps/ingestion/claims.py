"""Who works on a document: claimed by lease, fenced by epoch, timed by the database's clock.

A worker that dies leaves a lease that runs out; a worker that merely slept finds that its epoch has passed
and changes nothing.
"""

import datetime as dt
from dataclasses import dataclass
from uuid import UUID

from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from apps.events.services import publish
from apps.ingestion.contracts import IN_PROGRESS, DocumentKind, DocumentStatus, UploadedFile
from apps.ingestion.events import DocumentFailed, DocumentIndexed
from apps.ingestion.indexing import Index
from apps.ingestion.models import Chunk, Document, Original
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef

LEASE = dt.timedelta(minutes=3)
HINT_GRACE = dt.timedelta(seconds=15)
RETRY_AFTER = dt.timedelta(seconds=30)
MAX_ATTEMPTS = 3
INSERT_AT_ONCE = 200
GAVE_UP = "The document could not be processed in several attempts: reindex it, or save it in another format."


class LeaseLost(Exception):
    """Another worker, a new revision or a deletion has taken the document away."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to process one revision of a document, until the lease runs out."""

    tenant: TenantRef
    document_id: UUID
    epoch: int
    revision: int
    kind: DocumentKind
    title: str
    url: str
    file: UploadedFile | None

    def report(self, status: DocumentStatus, progress_percent: int) -> None:
        """Say how far we are and renew the lease; raises LeaseLost."""
        with in_tenant(self.tenant):
            self._update(status=status, progress_percent=progress_percent, leased_until=Now() + LEASE)

    def finish(self, index: Index, *, size_bytes: int) -> None:
        """Replace the document's passages, all at once; raises LeaseLost and changes nothing then."""
        with in_tenant(self.tenant):
            self._update(
                **_done(DocumentStatus.READY),
                title=index.title,
                title_vector=index.title_vector,
                language=index.language,
                embedder=index.embedder,
                size_bytes=size_bytes,
                chunk_count=len(index.passages),
                token_count=sum(passage.token_count for passage in index.passages),
            )
            Chunk.objects.filter(document_id=self.document_id).delete()
            chunks = index.build_chunks(Document(id=self.document_id))
            Chunk.objects.bulk_create(chunks, batch_size=INSERT_AT_ONCE)
            publish(self._indexed(index, size_bytes))

    def fail(self, reason: str) -> None:
        """Give up on this revision and say why; what was found before stays findable."""
        with in_tenant(self.tenant):
            self._update(**_done(DocumentStatus.FAILED, error=reason))
            publish(
                DocumentFailed(
                    tenant_id=self.tenant.id,
                    document_id=self.document_id,
                    revision=self.revision,
                    reason=reason,
                )
            )

    def release(self) -> None:
        """Leave the document to a later attempt."""
        with in_tenant(self.tenant):
            self._update(status=DocumentStatus.QUEUED, leased_until=Now() + RETRY_AFTER)

    def _update(self, **values: object) -> None:
        mine = Document.objects.filter(id=self.document_id, lease_epoch=self.epoch, status__in=IN_PROGRESS)
        if not mine.update(**values):
            raise LeaseLost

    def _indexed(self, index: Index, size_bytes: int) -> DocumentIndexed:
        return DocumentIndexed(
            tenant_id=self.tenant.id,
            document_id=self.document_id,
            revision=self.revision,
            chunk_count=len(index.passages),
            token_count=sum(passage.token_count for passage in index.passages),
            size_bytes=size_bytes,
        )


def _done(status: DocumentStatus, error: str = "") -> dict[str, object]:
    return {
        "status": status,
        "progress_percent": 100 if status is DocumentStatus.READY else 0,
        "error": error,
        "leased_until": None,
        "processed_at": Now(),
    }


def due_documents() -> QuerySet[Document]:
    """Return what waits for a worker: hints that were lost, leases that ran out. Inside `in_tenant`."""
    forgotten = Q(leased_until__isnull=True, queued_at__lt=Now() - HINT_GRACE)
    return Document.objects.kept().filter(forgotten | Q(leased_until__lt=Now()), status__in=IN_PROGRESS)


def claim_document(*, tenant: TenantRef, document_id: UUID) -> Claim | None:
    """Take a document for processing, or None when it is done, gone or in other hands."""
    with in_tenant(tenant):
        is_free = Q(leased_until__isnull=True) | Q(leased_until__lt=Now())
        free = Document.objects.kept().filter(is_free, id=document_id, status__in=IN_PROGRESS)
        claimed = free.update(
            leased_until=Now() + LEASE, lease_epoch=F("lease_epoch") + 1, attempts=F("attempts") + 1
        )
        if not claimed:
            return None
        document = Document.objects.get(id=document_id)
        original = Original.objects.filter(document_id=document_id).first()
        claim = Claim(
            tenant=tenant,
            document_id=document.id,
            epoch=document.lease_epoch,
            revision=document.revision,
            kind=DocumentKind(document.kind),
            title=document.title if document.is_title_given else "",
            url=document.url,
            file=UploadedFile(document.file_name, bytes(original.content)) if original else None,
        )
        if document.attempts > MAX_ATTEMPTS:
            claim.fail(GAVE_UP)
            return None
        return claim
