"""Take a token for every API request."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from apps.gateway import limits
from apps.gateway.credentials import client_ip
from apps.gateway.middleware import GetResponse
from apps.gateway.problems import API_PREFIXES, Problem, respond
from apps.gateway.rate_limit import Bucket, Decision

LOGIN_PREFIX = "/api/v1/auth/"


class RateLimitMiddleware:
    """Answer 429 when the tenant's bucket, or a stranger's address's, is empty."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path.startswith(API_PREFIXES):
            return self.get_response(request)
        decision = limits.limiter().take(buckets_of(request))
        response = self.get_response(request) if decision.is_allowed else _refuse(request, decision)
        response["RateLimit-Limit"] = str(decision.limit)
        response["RateLimit-Remaining"] = str(decision.remaining)
        response["RateLimit-Reset"] = str(decision.reset_s)
        return response


def buckets_of(request: HttpRequest) -> list[Bucket]:
    """Return the buckets that a request draws from; every key names its tenant, or the stranger's address."""
    principal = request.principal  # type: ignore[attr-defined]
    if principal is None:
        return _stranger_buckets(request)
    tenant_id = principal.tenant.id
    per_minute = limits.requests_per_minute(principal.tenant)
    buckets = [Bucket(f"rate:{{{tenant_id}}}", per_minute, per_minute)]
    if own := principal.rate_limits.get("requests_per_minute"):
        buckets.append(Bucket(f"rate:{{{tenant_id}}}:key:{principal.id}", int(own), int(own)))
    return buckets


def _stranger_buckets(request: HttpRequest) -> list[Bucket]:
    address = client_ip(request, settings.TRUSTED_PROXY_COUNT)
    is_login = request.path.startswith(LOGIN_PREFIX)
    name, per_minute = (
        ("login", settings.LOGINS_PER_MINUTE) if is_login else ("open", settings.ANONYMOUS_PER_MINUTE)
    )
    return [Bucket(f"rate:{{ip:{address}}}:{name}", per_minute, per_minute)]


def _refuse(request: HttpRequest, decision: Decision) -> HttpResponse:
    detail = f"At most {decision.limit} requests a minute; try again in {decision.retry_after_s} s."
    return respond(request, Problem(429, detail=detail, headers={"Retry-After": str(decision.retry_after_s)}))
