"""Take a token from every bucket that a request draws from."""

from django.http import HttpRequest, HttpResponse

from apps.gateway import limits
from apps.gateway.buckets import buckets_of
from apps.gateway.middleware import GetResponse
from apps.gateway.problems import API_PREFIXES, Problem, respond_or_page
from apps.gateway.rate_limit import Decision


class RateLimitMiddleware:
    """Answer 429 when one of the request's buckets is empty; API answers tell the tightest of them."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        buckets = buckets_of(request)
        if not buckets:
            return self.get_response(request)
        decision = limits.limiter().take(buckets)
        response = self.get_response(request) if decision.is_allowed else _refuse(request, decision)
        if request.path.startswith(API_PREFIXES):
            response["RateLimit-Limit"] = str(decision.limit)
            response["RateLimit-Remaining"] = str(decision.remaining)
            response["RateLimit-Reset"] = str(decision.reset_s)
        return response


def _refuse(request: HttpRequest, decision: Decision) -> HttpResponse:
    whose = WORDS[decision.scope]
    detail = f"At most {decision.limit} requests a minute {whose}; try again in {decision.retry_after_s} s."
    headers = {"Retry-After": str(decision.retry_after_s)}
    return respond_or_page(request, Problem(429, detail=detail, headers=headers))


WORDS = {
    "tenant": "for your company",
    "key": "with this API key",
    "user": "for each person",
    "address": "from one address",
    "endpoint": "of this costly kind",
}
