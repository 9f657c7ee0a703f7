"""Refuse what no view should have to think about."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from apps.gateway.middleware import GetResponse
from apps.gateway.problems import API_PREFIXES, HOOKS_PREFIX, Problem, respond

MAX_QUERY_CHARS = 8192


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
    is_form = request.META.get("CONTENT_TYPE", "").lower().startswith("multipart/")
    limit = settings.MAX_UPLOAD_BYTES if is_form else settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    if request.path.startswith(HOOKS_PREFIX):
        limit = settings.HOOK_BODY_MAX_BYTES
    if int(length) > limit:
        return Problem(413, "Content too large", f"The body may hold {limit} bytes at most.")
    return None
