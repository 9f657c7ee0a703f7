"""CSV over HTTP: a file in one request in, a stream out."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from django.http import StreamingHttpResponse
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from apps.crm.contracts import ImportReport
from apps.crm.csv_files import MAX_BYTES
from apps.tenants.spreadsheets import note_export, write_csv

EXISTING = OpenApiParameter(
    "existing",
    str,
    enum=["reject", "skip"],
    default="reject",
    description="What to do with rows whose key is known already with other values.",
)


class CsvUpload(serializers.Serializer):
    file = serializers.FileField(help_text="CSV in UTF-8 with a header line; at most 10 MB and 20,000 rows.")


class ImportReportSerializer(serializers.Serializer):
    created = serializers.IntegerField()
    skipped = serializers.IntegerField()
    unchanged = serializers.IntegerField(help_text="Rows that are stored already as they are.")


def read_upload(request: Request) -> bytes:
    """Return the bytes of the part `file`; raises ValidationError."""
    upload = CsvUpload(data=request.data)
    upload.is_valid(raise_exception=True)
    file = upload.validated_data["file"]
    if file.size > MAX_BYTES:
        raise ValidationError({"file": [f"The file is larger than {MAX_BYTES // 1024**2} MB; split it."]})
    content: bytes = file.read()
    return content


def wants_skip(request: Request) -> bool:
    """Read `?existing=`; raises ValidationError."""
    existing = request.query_params.get("existing", "reject")
    if existing not in ("reject", "skip"):
        raise ValidationError({"existing": ["Give reject or skip."]})
    return existing == "skip"


def report(done: ImportReport) -> Response:
    return Response(ImportReportSerializer(done).data)


def stream(name: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> StreamingHttpResponse:
    """Answer with a CSV file that is written while it is read; the audit trail tells who took it."""
    note_export(name)
    response = StreamingHttpResponse(write_csv(columns, rows), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return response


def as_json(value: dict[str, Any] | list[Any]) -> str:
    """Write a cell of JSON; nothing for an empty value."""
    return json.dumps(value, ensure_ascii=False) if value else ""
