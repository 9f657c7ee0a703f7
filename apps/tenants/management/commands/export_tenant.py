"""Write everything of one company into one archive."""

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.resilience.errors import DomainError
from apps.tenants.context import in_tenant
from apps.tenants.exporting.archive import write_archive
from apps.tenants.selectors import get_tenant
from apps.tenants.services import record_audit


class Command(BaseCommand):
    help = "Write everything of one tenant into one zip file, as it is at one moment."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", required=True, help="the tenant's slug")
        parser.add_argument("--out", required=True, type=Path, help="the file to write, which must not exist")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["out"]
        if path.exists():
            raise CommandError(f"{path} exists already; name another file.")
        if not path.parent.is_dir():
            raise CommandError(f"{path.parent} is no folder.")
        try:
            tenant = get_tenant(slug=options["tenant"])
        except DomainError as error:
            raise CommandError(error.detail) from error
        written = write_archive(tenant=tenant, path=path, report=self._show if sys.stderr.isatty() else _mute)
        data = {"rows": written.rows, "files": written.files, "sha256": written.sha256}
        with in_tenant(tenant):
            record_audit(tenant=tenant, actor="platform", action="export.finished", data=data)
        self.stdout.write(f"{path}: {written.rows:,} rows of {len(written.manifest['tables'])} tables and ")
        self.stdout.write(f"{written.files:,} files, {written.size_bytes:,} bytes, sha256 {written.sha256}")

    def _show(self, done: int, total: int) -> None:
        self.stderr.write(f"\r{done:,} of {total:,} rows", ending="")


def _mute(done: int, total: int) -> None:
    return
