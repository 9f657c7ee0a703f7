"""Finds out what a file really is, and refuses what its name does not admit."""

import io
import zipfile
from pathlib import PurePath

from apps.ingestion.parsing.contracts import Unreadable

BY_EXTENSION = {
    ".txt": "text",
    ".text": "text",
    ".log": "text",
    ".md": "markdown",
    ".markdown": "markdown",
    ".htm": "html",
    ".html": "html",
    ".xhtml": "html",
    ".pdf": "pdf",
    ".docx": "docx",
    ".csv": "csv",
    ".tsv": "csv",
    ".xlsx": "xlsx",
    ".pptx": "pptx",
}
TEXTUAL = frozenset({"text", "markdown", "html", "csv"})
NAMES = {
    "pdf": "a PDF",
    "docx": "a Word document",
    "xlsx": "an Excel workbook",
    "pptx": "a PowerPoint presentation",
    "text": "plain text",
    "html": "a web page",
}
IMAGES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\x00", b"MM\x00*")
LEGACY_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
OFFICE_PARTS = {"word/document.xml": "docx", "xl/workbook.xml": "xlsx", "ppt/presentation.xml": "pptx"}
MAX_UNPACKED_BYTES = 200 * 1024 * 1024
SUPPORTED = "txt, md, html, pdf, docx, csv, xlsx or pptx"


def detect_format(name: str, content: bytes) -> str:
    """Return one of the values of BY_EXTENSION.

    Raises Unreadable for empty, unknown, encrypted, unpacking-too-large and misnamed files.
    """
    if not content.strip(b"\x00\t\n\r \xef\xbb\xbf"):
        raise Unreadable("The file is empty: upload one that holds text.")
    claimed = BY_EXTENSION.get(PurePath(name).suffix.lower())
    found = _sniff(content)
    if found == "text":
        return _accept_text(name, claimed, content)
    if claimed is not None and claimed != found:
        extension = PurePath(name).suffix
        raise Unreadable(
            f"The file is named {extension} but holds {NAMES[found]}: "
            f"rename it to .{found} and upload it again."
        )
    return found


def _accept_text(name: str, claimed: str | None, content: bytes) -> str:
    if claimed is None and PurePath(name).suffix:
        raise Unreadable(f"Files of the type {PurePath(name).suffix} are not supported: use {SUPPORTED}.")
    if claimed in TEXTUAL:
        return claimed
    if claimed is not None:
        raise Unreadable(
            f"The file is named {PurePath(name).suffix} but does not hold {NAMES[claimed]}: "
            "it is damaged or has the wrong name. Save it again and upload it."
        )
    start = content[:512].lstrip().lower()
    return "html" if start.startswith((b"<!doctype html", b"<html")) else "text"


def _sniff(content: bytes) -> str:
    if b"%PDF-" in content[:1024]:
        return "pdf"
    if content.startswith(b"PK\x03\x04"):
        return _sniff_zip(content)
    if content.startswith(LEGACY_OFFICE):
        raise Unreadable(_describe_legacy(content))
    if content.startswith(IMAGES) or content[8:12] == b"WEBP":
        raise Unreadable("The file is an image: upload its text, or a PDF with recognised text (OCR).")
    if _is_binary(content):
        raise Unreadable(f"The file does not hold text: use {SUPPORTED}.")
    return "text"


def _sniff_zip(content: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        raise Unreadable("The file is damaged: save it again and upload it.") from None
    if any(entry.flag_bits & 1 for entry in entries):
        raise Unreadable("The file is protected by a password: remove the password and upload it again.")
    if sum(entry.file_size for entry in entries) > MAX_UNPACKED_BYTES:
        raise Unreadable("The file unpacks to more than 200 MB: split it into smaller files.")
    names = {entry.filename for entry in entries}
    for part, kind in OFFICE_PARTS.items():
        if part in names:
            return kind
    raise Unreadable("The file is a ZIP archive: unpack it and upload the documents in it.")


def _describe_legacy(content: bytes) -> str:
    if "EncryptedPackage".encode("utf-16-le") in content:
        return "The file is protected by a password: remove the password and upload it again."
    return "The file is in an old Office format: save it as docx, xlsx or pptx and upload that."


def _is_binary(content: bytes) -> bool:
    sample = content[:8192]
    if sample.startswith((b"\xff\xfe", b"\xfe\xff")):
        return False
    controls = sum(byte < 9 or 13 < byte < 27 or 27 < byte < 32 for byte in sample)
    return b"\x00" in sample or controls * 50 > len(sample)
