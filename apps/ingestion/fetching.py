"""Fetches a page that a tenant names, through the guard that lets nothing into private networks."""

import mimetypes
from pathlib import PurePosixPath

from django.conf import settings

from apps.ingestion.contracts import UploadedFile
from apps.ingestion.parsing.contracts import Unreadable
from apps.resilience import outbound

MAX_REDIRECTS = 5
STEP_S = 20.0
TOTAL_S = 40.0
HEADERS = {
    "User-Agent": "AIaaS-Knowledge/1.0",
    "Accept": "text/html, text/markdown, text/plain, text/csv, application/pdf;q=0.9, */*;q=0.5",
}
ADVICE = {
    401: "The page asks for a login: upload its content as a file.",
    403: "The page refuses to be read by programs: upload its content as a file.",
    404: "There is no page at this address: check it.",
    410: "The page was removed: check the address.",
    429: "The site asks us to slow down: reindex the document later.",
}


def fetch_page(url: str) -> UploadedFile:
    """Return the page's bytes, named so that its format can be told.

    Raises Unreadable with advice: wrong or private address, too large, too slow, refused, gone.
    """
    limits = outbound.Limits(
        total_s=TOTAL_S, step_s=STEP_S, max_bytes=settings.DOCUMENT_MAX_BYTES, max_redirects=MAX_REDIRECTS
    )
    try:
        answer = outbound.send("GET", url, headers=HEADERS, limits=limits)
    except outbound.TimedOut:
        raise Unreadable("The site answers too slowly: reindex the document later.") from None
    except outbound.TooLarge:
        raise Unreadable("The page is too large: upload the part that matters as a file.") from None
    except outbound.OutboundError as error:
        raise Unreadable(str(error)) from None
    if answer.status != 200:
        default = f"The site answered with an error ({answer.status}): check the address."
        raise Unreadable(ADVICE.get(answer.status, default))
    return UploadedFile(_name(answer), answer.content)


def _name(answer: outbound.Answer) -> str:
    """Name the page by its declared type: web addresses rarely end in the right extension."""
    path = PurePosixPath(answer.url.path)
    declared = answer.headers.get("Content-Type", "").split(";")[0].strip().lower()
    stem = path.stem or "page"
    if declared in {"text/html", "application/xhtml+xml"}:
        return f"{stem}.html"
    if declared in {"", "application/octet-stream", "text/plain"}:
        return path.name or "page"
    return stem + (mimetypes.guess_extension(declared) or path.suffix)
