"""Write the archive: streamed from one snapshot, so that a million rows take no more memory than one."""

import hashlib
import json
import os
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.db import connections
from django.utils import timezone

from apps.tenants.context import APP, in_snapshot
from apps.tenants.contracts import TenantRef
from apps.tenants.exporting.registry import NOT_INCLUDED, ExportTable, list_tables

FORMAT, VERSION = "aiaas-export", 1
REPORT_ROWS = 2_000
MANIFEST = "manifest.json"
# Originals of documents: what their archive names are made of.
ORIGINALS = (
    "SELECT d.id, d.file_name FROM ingestion_document d JOIN ingestion_original o ON o.document_id = d.id"
)
ORIGINAL = "SELECT content FROM ingestion_original WHERE document_id = %s"
SCHEMA_VERSION = "SELECT app, max(name) FROM {}.django_migrations GROUP BY app ORDER BY app"

Report = Callable[[int, int], None]


@dataclass
class Written:
    """What an archive holds; `manifest` is its last file."""

    path: Path
    size_bytes: int
    sha256: str
    rows: int
    files: int
    manifest: dict[str, Any] = field(default_factory=dict)


def write_archive(*, tenant: TenantRef, path: Path, report: Report = lambda done, total: None) -> Written:
    """Write everything of a tenant as it is at this moment; `report` is told rows done and in all.

    It may raise, and then the unfinished file is gone. Must not run inside a transaction.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("wb") as raw, zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:
            manifest = _Archive(archive, report).write(tenant)
        with partial.open("rb") as whole:
            digest = hashlib.file_digest(whole, "sha256").hexdigest()
            os.fsync(whole.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    rows = sum(table["rows"] for table in manifest["tables"])
    return Written(path, path.stat().st_size, digest, rows, len(manifest["files"]), manifest)


class _Archive:
    def __init__(self, archive: zipfile.ZipFile, report: Report) -> None:
        self._archive, self._report = archive, report
        self._done = self._total = 0

    def write(self, tenant: TenantRef) -> dict[str, Any]:
        tables = list_tables()
        with in_snapshot(tenant):
            counts = {table.label: _count(table) for table in tables}
            self._total = sum(counts.values())
            manifest = {
                "format": FORMAT,
                "version": VERSION,
                "tenant": {"id": str(tenant.id), "slug": tenant.slug, "schema": tenant.schema},
                "taken_at": timezone.now().isoformat(),
                "schema_version": {"public": _versions("public"), "tenant": _versions(tenant.schema)},
                "tables": [self._write_table(table, counts[table.label]) for table in tables],
                "files": [self._write_file(*original) for original in _fetch(ORIGINALS)],
                "not_included": NOT_INCLUDED,
            }
        self._archive.writestr(MANIFEST, json.dumps(manifest, indent=2, ensure_ascii=False))
        return manifest

    def _write_table(self, table: ExportTable, expected: int) -> dict[str, Any]:
        rows = 0
        with self._member(table.file_name) as member:
            for line in _stream(table.query):
                member.write(line)
                rows += 1
                if rows % REPORT_ROWS == 0:
                    self._report(self._done + rows, self._total)
        assert rows == expected, f"{table.label}: {rows} rows of {expected}"  # one snapshot, one number
        self._done += rows
        self._report(self._done, self._total)
        about = {"model": table.label, "table": table.table, "rows": rows, "columns": table.columns}
        return {**about, "left_out": table.left_out, **member.described()}

    def _write_file(self, document_id: Any, file_name: str) -> dict[str, Any]:
        [[content]] = _fetch(ORIGINAL, [document_id])
        name = re.sub(r"[^\w.\-]+", "_", file_name).strip("._")[-120:] or "original"
        with self._member(f"files/documents/{document_id}/{name}") as member:
            member.write(bytes(content))
        self._report(self._done, self._total)
        return {"document_id": str(document_id), **member.described()}

    @contextmanager
    def _member(self, name: str) -> "Iterator[_Member]":
        with self._archive.open(zipfile.ZipInfo(name, _now()), "w", force_zip64=True) as stream:
            yield _Member(name, stream)


class _Member:
    """A file of the archive that hashes what goes through it."""

    def __init__(self, name: str, stream: Any) -> None:
        self._name, self._stream, self._size = name, stream, 0
        self._hash = hashlib.sha256()

    def write(self, content: bytes) -> None:
        self._stream.write(content)
        self._hash.update(content)
        self._size += len(content)

    def described(self) -> dict[str, Any]:
        return {"path": self._name, "size_bytes": self._size, "sha256": self._hash.hexdigest()}


def _stream(query: str) -> Iterator[bytes]:
    with connections[APP].cursor() as cursor:
        statement = f"COPY (SELECT row_to_json(t)::text FROM ({query}) t) TO STDOUT"  # noqa: S608
        with cursor.copy(statement) as copy:
            copy.set_types(["text"])
            for (line,) in copy.rows():
                yield line.encode() + b"\n"


def _count(table: ExportTable) -> int:
    [[total]] = _fetch(f"SELECT count(*) FROM ({table.query}) t")  # noqa: S608
    return int(total)


def _versions(schema: str) -> dict[str, str]:
    return dict(_fetch(SCHEMA_VERSION.format(f'"{schema}"')))


def _fetch(sql: str, parameters: list[Any] | None = None) -> list[Any]:
    with connections[APP].cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall())


def _now() -> tuple[int, int, int, int, int, int]:
    now = timezone.now()
    return now.year, now.month, now.day, now.hour, now.minute, now.second
