"""Give every request an id, and measure it."""

import re
import time

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from uuid_utils.compat import uuid7

from apps.events.tracing import continue_trace
from apps.gateway.credentials import client_ip
from apps.gateway.metrics import REQUEST_DURATION
from apps.gateway.middleware import GetResponse
from apps.tenants.client_address import coming_from

log = structlog.get_logger(__name__)

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
UNLOGGED = ("/healthz", "/readyz", "/metrics", "/static/")
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class RequestContextMiddleware:
    """Take or make X-Request-ID, bind it to the logs, time the request inside a span."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-ID", "")
        request.request_id = given if REQUEST_ID.fullmatch(given) else str(uuid7())  # type: ignore[attr-defined]
        started = time.perf_counter()
        parent = request.headers.get("traceparent")
        with (
            structlog.contextvars.bound_contextvars(request_id=request.request_id),  # type: ignore[attr-defined]
            coming_from(client_ip(request, settings.TRUSTED_PROXY_COUNT)),
            continue_trace(parent, f"{request.method}") as span,
        ):
            response = self.get_response(request)
            endpoint = route_of(request)
            span.update_name(f"{request.method} {endpoint}")
            span.set_attribute("http.response.status_code", response.status_code)
            self._record(request, response, endpoint, time.perf_counter() - started)
        response["X-Request-ID"] = request.request_id  # type: ignore[attr-defined]
        return response

    def _record(self, request: HttpRequest, response: HttpResponse, endpoint: str, duration_s: float) -> None:
        method = str(request.method) if request.method in METHODS else "OTHER"
        REQUEST_DURATION.labels(settings.SERVICE_NAME, endpoint, method).observe(duration_s)
        if not request.path.startswith(UNLOGGED):
            tenant = getattr(request, "tenant", None)
            log.info(
                "request_finished",
                method=request.method,
                path=request.path,
                status=response.status_code,
                duration_ms=round(duration_s * 1000, 1),
                tenant=tenant.slug if tenant else None,
            )


def route_of(request: HttpRequest) -> str:
    """Return the matched route, which has few values, never the path, which has many."""
    match = request.resolver_match
    return f"/{match.route.lstrip('^/')}" if match and match.route else "unmatched"
