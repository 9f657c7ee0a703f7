"""Every error of the HTTP doorway, as application/problem+json, or in OpenAI's shape under /v1/."""

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import orjson
import structlog
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation, TooManyFilesSent
from django.db import DataError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from rest_framework import exceptions

from apps.resilience.errors import DomainError

log = structlog.get_logger(__name__)

HOOKS_PREFIX = "/hooks/"
API_PREFIXES = ("/api/", "/v1/", HOOKS_PREFIX)
OPENAI_PREFIX = "/v1/"
CHALLENGE = 'Bearer realm="aiaas", Api-Key realm="aiaas"'
HOOK_CHALLENGE = 'Standard-Webhooks realm="aiaas"'
OPENAI_TYPES = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    429: "rate_limit_error",
}
OPENAI_CODES = {401: "invalid_api_key", 402: "insufficient_quota", 429: "rate_limit_exceeded"}


class LoginRefused(DomainError):
    """Wrong credentials where credentials are what is being asked for."""

    status = 401
    title = "Login refused"


@dataclass(frozen=True)
class Problem:
    """What went wrong and what to do about it; `errors` by dotted field name."""

    status: int
    title: str = ""
    detail: str = ""
    errors: Mapping[str, list[str]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    members: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.title or HTTPStatus(self.status).phrase

    @property
    def code(self) -> str:
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")


def respond(request: HttpRequest, problem: Problem) -> HttpResponse:
    """Render a problem in the shape that the path's clients expect."""
    is_openai = request.path.startswith(OPENAI_PREFIX)
    body = openai_body(problem) if is_openai else _problem_body(request, problem)
    content_type = "application/json" if is_openai else "application/problem+json"
    response = HttpResponse(orjson.dumps(body), content_type, problem.status, headers=dict(problem.headers))
    if problem.status == 401:
        response.setdefault("WWW-Authenticate", CHALLENGE)
    return response


def problem_of(exc: BaseException) -> Problem | None:
    """Translate an exception that a caller can do something about; None for our own defects."""
    match exc:
        case exceptions.ValidationError():
            return _validation_problem(exc)
        case exceptions.APIException():
            return _api_problem(exc)
        case DomainError():
            errors = {name: _texts(texts) for name, texts in exc.errors.items()}
            headers = getattr(exc, "headers", {})
            return Problem(
                exc.status, exc.title, exc.detail, errors=errors, headers=headers, members=exc.members
            )
        case Http404():
            return Problem(404, detail="There is nothing at this address that you may see.")
        case PermissionDenied():
            return Problem(403, detail=str(exc) or "Your credentials do not permit this.")
        case RequestDataTooBig():
            return Problem(
                413, "Content too large", "Send a smaller body; files go to documents as multipart."
            )
        case TooManyFilesSent() | SuspiciousOperation():
            return Problem(400, detail="The request is malformed.")
        case DataError():
            return Problem(400, detail="A value is outside the range that can be stored.")
        case OperationalError():
            return Problem(
                503, detail="The database cannot be reached; try again.", headers={"Retry-After": "5"}
            )
    return None


def handle_exception(exc: Exception, context: dict[str, Any]) -> HttpResponse | None:
    """Answer an exception of a DRF view; None lets Django log it and call `server_error`."""
    problem = problem_of(exc)
    if problem is None:
        return None
    if problem.status >= 500 or isinstance(exc, DataError):
        log.warning("request_failed", status=problem.status, error=repr(exc))
    return respond(context["request"], problem)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer what no view handled, without a word about our inside."""
    exc = sys.exc_info()[1]
    problem = problem_of(exc) if exc is not None else None
    request_id = getattr(request, "request_id", "")
    unknown = Problem(500, detail=f"Something broke on our side. Tell support the request id {request_id}.")
    return respond_or_page(request, problem or unknown)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a path that leads nowhere."""
    return respond_or_page(request, Problem(404, detail="There is nothing at this address; see /api/docs/."))


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request that Django refused to parse."""
    return respond_or_page(request, problem_of(exception) or Problem(400))


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a refusal outside the DRF views."""
    return respond_or_page(request, problem_of(exception) or Problem(403))


def respond_or_page(request: HttpRequest, problem: Problem) -> HttpResponse:
    """Render a problem for whoever asked: a program, htmx, a browser, or a plain client."""
    if request.path.startswith(API_PREFIXES):
        return respond(request, problem)
    if request.headers.get("HX-Request"):
        return _render(problem, "shell/_problem.html")
    if "text/html" in request.headers.get("Accept", ""):
        return _render(problem, "shell/problem.html")
    text = f"{problem.status} {problem.name}\n{problem.detail}\n"
    return HttpResponse(text, "text/plain; charset=utf-8", problem.status, headers=dict(problem.headers))


def _render(problem: Problem, template: str) -> HttpResponse:
    """Fill in a page without a request: it asks nothing of the database that may be what is broken."""
    context = {"title": problem.name, "detail": problem.detail, "status": problem.status}
    return HttpResponse(
        render_to_string(template, context), status=problem.status, headers=dict(problem.headers)
    )


def _problem_body(request: HttpRequest, problem: Problem) -> dict[str, Any]:
    body: dict[str, Any] = {
        "type": f"urn:aiaas:problem:{problem.code}",
        "title": problem.name,
        "status": problem.status,
        "detail": problem.detail,
    }
    if problem.errors:
        body["errors"] = dict(problem.errors)
    if request_id := getattr(request, "request_id", ""):
        body["request_id"] = request_id
    return body | dict(problem.members)


def openai_body(problem: Problem) -> dict[str, Any]:
    """Return a problem in the shape of OpenAI's errors."""
    param = next(iter(problem.errors), None)
    message = problem.detail or problem.name
    if param:
        message = f"{param}: {' '.join(problem.errors[param])}"
    fallback = "server_error" if problem.status >= 500 else "invalid_request_error"
    kind = OPENAI_TYPES.get(problem.status, fallback)
    code = OPENAI_CODES.get(problem.status, problem.code.replace("-", "_"))
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _validation_problem(exc: exceptions.ValidationError) -> Problem:
    errors = flatten_errors(exc.detail)
    general = errors.pop("", [])
    detail = " ".join(general) or "Correct the fields listed under errors and send it again."
    return Problem(400, "Invalid input", detail, errors=errors)


def _api_problem(exc: exceptions.APIException) -> Problem:
    headers = {}
    if auth := getattr(exc, "auth_header", None):
        headers["WWW-Authenticate"] = auth
    if wait := getattr(exc, "wait", None):
        headers["Retry-After"] = str(int(wait) + 1)
    return Problem(exc.status_code, detail=" ".join(_texts(exc.detail)), headers=headers)


def flatten_errors(detail: Any, path: str = "") -> dict[str, list[str]]:
    """Turn DRF's nested details into `{"items.0.sku": ["..."]}`; what concerns no field is under ""."""
    if isinstance(detail, Mapping):
        pairs = [(str(key), value) for key, value in detail.items()]
    elif isinstance(detail, list) and any(isinstance(item, dict | list) for item in detail):
        pairs = [(str(index), value) for index, value in enumerate(detail)]
    else:
        return {path: _texts(detail)} if detail else {}
    flat: dict[str, list[str]] = {}
    for key, value in pairs:
        name = "" if key == "non_field_errors" else key
        for field_name, texts in flatten_errors(value, ".".join(filter(None, (path, name)))).items():
            flat.setdefault(field_name, []).extend(texts)
    return flat


def _texts(detail: Any) -> list[str]:
    if isinstance(detail, Mapping):
        return [text for value in detail.values() for text in _texts(value)]
    if isinstance(detail, list | tuple):
        return [text for value in detail for text in _texts(value)]
    return [str(detail)]
