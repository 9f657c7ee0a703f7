"""What may come in: exactly one of a file, an address and a text, within limits."""

import hashlib
from dataclasses import dataclass
from pathlib import PurePath
from urllib.parse import urlsplit

from django.conf import settings

from apps.ingestion.contracts import DocumentKind, UploadedFile
from apps.resilience.errors import InvalidInput

MAX_TITLE_CHARS = 300
MAX_URL_CHARS = 2000


@dataclass(frozen=True, slots=True)
class Intake:
    """A document that was accepted; `file` is None for an address, which is fetched later."""

    kind: DocumentKind
    title: str
    file: UploadedFile | None = None
    url: str = ""

    @property
    def digest(self) -> str:
        """Tell the same document from another: what it is called and what it holds."""
        parts = [self.kind, self.title, self.url]
        if self.file:
            parts.append(self.file.name)
        digest = hashlib.sha256("\x1f".join(parts).encode())
        digest.update(self.file.content if self.file else b"")
        return digest.hexdigest()


def check_intake(
    *, title: str | None, text: str | None, file: UploadedFile | None, url: str | None
) -> Intake:
    """Return what came in, cleaned; raises InvalidInput that names the field."""
    given = [name for name, value in (("text", text), ("file", file), ("url", url)) if value is not None]
    if len(given) != 1:
        raise InvalidInput({"file": ["Give exactly one of file, url and text."]})
    clean_title = " ".join((title or "").replace("\x00", "").split())
    if len(clean_title) > MAX_TITLE_CHARS:
        raise InvalidInput({"title": [f"Use at most {MAX_TITLE_CHARS} characters."]})
    if file is not None:
        return _check_file(clean_title, file)
    if url is not None:
        return Intake(DocumentKind.URL, clean_title, url=_check_url(url))
    return _check_text(clean_title, text or "")


def _check_text(title: str, text: str) -> Intake:
    if not title:
        raise InvalidInput({"title": ["A text needs a title: it is shown as the source of answers."]})
    if not text.strip():
        raise InvalidInput({"text": ["The text is empty."]})
    content = text.replace("\x00", "").encode("utf-8", "replace")
    _check_size("text", content)
    return Intake(DocumentKind.TEXT, title, UploadedFile("text.md", content))


def _check_file(title: str, file: UploadedFile) -> Intake:
    name = PurePath(file.name.replace("\\", "/").replace("\x00", "")).name
    if not name:
        raise InvalidInput({"file": ["The file needs a name."]})
    if not file.content:
        raise InvalidInput({"file": ["The file is empty: upload one that holds text."]})
    _check_size("file", file.content)
    stem, suffix = PurePath(name).stem, PurePath(name).suffix[:20]
    return Intake(DocumentKind.FILE, title, UploadedFile(stem[: 250 - len(suffix)] + suffix, file.content))


def _check_size(field: str, content: bytes) -> None:
    if len(content) > settings.DOCUMENT_MAX_BYTES:
        limit_mb = settings.DOCUMENT_MAX_BYTES // 1024 // 1024
        raise InvalidInput({field: [f"At most {limit_mb} MB: split the document into smaller ones."]})


def _check_url(url: str) -> str:
    url = url.strip()
    try:
        parts = urlsplit(url)
        is_valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_valid = False
    if not is_valid or len(url) > MAX_URL_CHARS or not url.isprintable() or " " in url:
        raise InvalidInput({"url": ["Give a web address like https://example.com/help."]})
    if parts.username or parts.password:
        raise InvalidInput({"url": ["Give the address without a login."]})
    return url
