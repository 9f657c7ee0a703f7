"""Refuse what the plan does not include any more."""

from django.http import HttpRequest, HttpResponse

from apps.billing.contracts import QuotaSpent
from apps.billing.services import reserving
from apps.gateway.metering import metered_kind
from apps.gateway.metrics import QUOTA_REFUSED
from apps.gateway.middleware import GetResponse
from apps.gateway.problems import problem_of, respond


class QuotaMiddleware:
    """Reserve what a metered request will use, or answer 402."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        tenant = request.tenant  # type: ignore[attr-defined]
        # A delivery's endpoint says what it spends, its address does not.
        known = getattr(request, "usage_kind", None)
        kind = (known or metered_kind(request.method, request.path)) if tenant else None
        if kind is None:
            return self.get_response(request)
        try:
            with reserving(tenant=tenant, kind=kind):
                return self.get_response(request)
        except QuotaSpent as exc:
            QUOTA_REFUSED.labels(kind).inc()
            problem = problem_of(exc)
            assert problem is not None
            return respond(request, problem)
