"""Let pages of a tenant's own sites read what the API answers them."""

import re

from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers

from apps.gateway import limits
from apps.gateway.middleware import GetResponse
from apps.tenants.selectors import allows_origin

SHARED = ("/api/v1/", "/v1/")
ORIGIN = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]{1,255}")
METHODS = "GET, POST, PUT, PATCH, DELETE"
ASKED = "Authorization, Content-Type, Idempotency-Key, X-Request-ID"
TOLD = (
    "Idempotent-Replayed, Location, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, Retry-After, "
    "X-Conversation-ID, X-Request-ID"
)
PREFLIGHT_KEPT_S = "600"


class CorsMiddleware:
    """Name the page's origin in the answer where the tenant whose credential came lists it.

    A preflight carries no credential, so it says only what may be asked; whether the page may read the
    answer is decided by the tenant's list. Cookies are never let in, and no answer is for everybody.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path.startswith(SHARED):
            return self.get_response(request)
        origin = request.headers.get("Origin", "")
        is_origin = bool(ORIGIN.fullmatch(origin))
        if is_origin and request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            return _preflight(origin)
        response = self.get_response(request)
        patch_vary_headers(response, ["Origin"])
        tenant = getattr(request, "tenant", None)
        if is_origin and tenant is not None and allows_origin(origin, limits.origins_of(tenant)):
            response["Access-Control-Allow-Origin"] = origin
            response["Access-Control-Expose-Headers"] = TOLD
        return response


def _preflight(origin: str) -> HttpResponse:
    response = HttpResponse(status=204)
    response["Access-Control-Allow-Origin"] = origin
    response["Access-Control-Allow-Methods"] = METHODS
    response["Access-Control-Allow-Headers"] = ASKED
    response["Access-Control-Max-Age"] = PREFLIGHT_KEPT_S
    patch_vary_headers(
        response, ["Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers"]
    )
    return response
