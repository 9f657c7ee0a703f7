"""Requests as the gateway hands them over, and YAML as a body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from apps.orchestration.definitions.language.source import MAX_BYTES
from apps.tenants.contracts import Principal, TenantRef


class TenantRequest(Request):
    """A request that the gateway let pass; the same write has the same `write_id` whenever it is repeated."""

    tenant: TenantRef
    auth: Principal
    write_id: UUID | None


def actor_of(request: TenantRequest) -> str:
    """Name the caller in the records."""
    return f"{request.auth.kind.value}:{request.auth.id}"


class YamlParser(BaseParser):
    """Takes a workflow's source as the whole body."""

    media_type = "application/yaml"

    def parse(
        self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return {"source": text}; raises ParseError."""
        body = stream.read(MAX_BYTES + 1)
        if len(body) > MAX_BYTES:
            raise ParseError(f"The workflow is longer than {MAX_BYTES // 1024} KiB.")
        try:
            return {"source": body.decode()}
        except UnicodeDecodeError as error:
            raise ParseError("The workflow is not UTF-8 text.") from error


class YamlRenderer(BaseRenderer):
    """Gives a version's source as it was written."""

    media_type = "application/yaml"
    format = "yaml"
    charset = "utf-8"

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> str:
        """Return the source; an answer without one is a problem, which is told as text."""
        return str(data.get("source") or data.get("detail") or "")
