"""`manage.py ingest`: files and folders into a tenant's knowledge."""

import os
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from apps.ingestion import services
from apps.ingestion.contracts import IN_PROGRESS, DocumentStatus, DocumentView, UploadedFile
from apps.ingestion.parsing.formats import BY_EXTENSION
from apps.ingestion.selectors import get_document
from apps.resilience.errors import DomainError
from apps.tenants.contracts import TenantRef
from apps.tenants.selectors import get_tenant

POLL_S = 0.5
BAR_WIDTH = 30


class Command(BaseCommand):
    help = "Add files and folders to a tenant's knowledge."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("paths", nargs="+", metavar="PATH", help="files, folders, or web addresses")
        parser.add_argument("--tenant", required=True, metavar="SLUG")
        parser.add_argument(
            "--wait", action="store_true", help="process here and now, and fail when a document fails"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        tenant = self._find_tenant(options["tenant"])
        sources = list(dict.fromkeys(find_sources(options["paths"])))
        if not sources:
            raise CommandError(f"Nothing to ingest: the paths hold no {', '.join(BY_EXTENSION)} file.")
        accepted, refused = self._add(tenant, sources)
        if options["wait"]:
            refused += self._process(tenant, accepted)
        elif accepted:
            self._write(f"{len(accepted)} documents accepted; the workers process them. Use --wait to wait.")
        if refused:
            raise CommandError(f"{refused} of {len(sources)} documents failed.")

    def _find_tenant(self, slug: str) -> TenantRef:
        try:
            return get_tenant(slug=slug)
        except DomainError as error:
            raise CommandError(error.detail) from None

    def _add(self, tenant: TenantRef, sources: list[str]) -> tuple[list[DocumentView], int]:
        accepted, refused = [], 0
        for done, source in enumerate(sources, start=1):
            try:
                accepted.append(add_source(tenant, source))
            except (DomainError, OSError) as error:
                refused += 1
                self._complain(source, getattr(error, "detail", "") or str(error))
            self._bar("reading", done, len(sources))
        return accepted, refused

    def _process(self, tenant: TenantRef, documents: list[DocumentView]) -> int:
        failed = 0
        for done, document in enumerate(documents, start=1):
            final = self._finish(tenant, document.id)
            if final.status is DocumentStatus.FAILED:
                failed += 1
                self._complain(final.file_name or final.url or final.title, final.error)
            self._bar("processing", done, len(documents))
        self._write(f"{len(documents) - failed} documents ready, {failed} failed.")
        return failed

    def _finish(self, tenant: TenantRef, document_id: UUID) -> DocumentView:
        """Process the document, or wait for the worker that does."""
        while True:
            services.process_document(tenant=tenant, document_id=document_id)
            document = get_document(tenant=tenant, document_id=document_id)
            if document.status not in IN_PROGRESS:
                return document
            time.sleep(POLL_S)

    def _bar(self, verb: str, done: int, total: int) -> None:
        if not self.stderr.isatty():
            return
        filled = BAR_WIDTH * done // total
        end = "\n" if done == total else ""
        bar = "█" * filled + "·" * (BAR_WIDTH - filled)
        self.stderr.write(f"\r{verb:<11}{bar} {done}/{total}", ending=end)

    def _complain(self, source: str, reason: str) -> None:
        self.stderr.write(f"{source}: {reason}")

    def _write(self, line: str) -> None:
        self.stdout.write(line)


def find_sources(paths: list[str]) -> Iterator[str]:
    """Yield files and addresses; of a folder the supported files, in order, without hidden ones.

    Raises CommandError for a path that does not exist.
    """
    for given in paths:
        if given.startswith(("http://", "https://")):
            yield given
        elif Path(given).is_dir():
            yield from _walk(Path(given))
        elif Path(given).exists():
            yield given
        else:
            raise CommandError(f"There is no file or folder {given}.")


def _walk(folder: Path) -> Iterator[str]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if Path(name).suffix.lower() in BY_EXTENSION and not name.startswith("."):
                yield str(Path(place) / name)


def add_source(tenant: TenantRef, source: str) -> DocumentView:
    """Add one file or address; raises DomainError or OSError."""
    if source.startswith(("http://", "https://")):
        return services.add_document(tenant=tenant, url=source)
    path = Path(source)
    return services.add_document(tenant=tenant, file=UploadedFile(path.name, path.read_bytes()))
