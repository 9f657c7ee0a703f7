"""Refuse what no view should have to think about."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from apps.gateway.middleware import GetResponse
from apps.gateway.problems import API_PREFIXES, HOOKS_PREFIX, Problem, respond

MAX_QUERY_CHARS = 8192
BODY_REFUSAL = "aiaas.body_refusal"  # the status for a body that the server has given up on
REFUSALS = {
    400: Problem(400, detail="The body ended before its Content-Length."),
    408: Problem(408, detail="The body came too slowly; send it faster, or in smaller parts."),
}


class InputGuardMiddleware:
    """Answer 400, 413 or 414 before anything is read or written."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        problem = find_problem(request)
        if problem is None:
            return self.get_response(request)
        if not request.path.startswith(API_PREFIXES):
            return HttpResponse(problem.detail, "text/plain; charset=utf-8", problem.status)
        return respond(request, problem)


def find_problem(request: HttpRequest) -> Problem | None:
    """Return what is wrong with a request's outside, if anything."""
    query = request.META.get("QUERY_STRING", "")
    if len(query) > MAX_QUERY_CHARS:
        return Problem(414, detail=f"The query string is longer than {MAX_QUERY_CHARS} characters.")
    if "%00" in query or "\x00" in request.path:
        return Problem(400, detail="The address holds a NUL character (%00).")
    length = request.META.get("CONTENT_LENGTH") or "0"
    if not length.isdigit():
        return Problem(400, detail="Content-Length is not a number.")
    limit, refusal = body_limit(request.META), request.META.get(BODY_REFUSAL)
    if int(length) > limit or refusal == 413:
        return Problem(413, "Content too large", f"The body may hold {limit} bytes at most.")
    return REFUSALS[refusal] if refusal else None


def body_limit(environ: Mapping[str, Any]) -> int:
    """Return how many bytes a request's body may hold."""
    if environ.get("PATH_INFO", "").startswith(HOOKS_PREFIX):
        return settings.HOOK_BODY_MAX_BYTES
    is_form = environ.get("CONTENT_TYPE", "").lower().startswith("multipart/")
    return settings.MAX_UPLOAD_BYTES if is_form else settings.DATA_UPLOAD_MAX_MEMORY_SIZE
