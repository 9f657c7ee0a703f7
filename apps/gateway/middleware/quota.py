"""Refuse what the plan does not include any more."""

from django.http import HttpRequest, HttpResponse

from apps.billing.contracts import QuotaState
from apps.gateway import limits
from apps.gateway.metering import metered_kind
from apps.gateway.metrics import QUOTA_REFUSED
from apps.gateway.middleware import GetResponse
from apps.gateway.problems import Problem, respond


class QuotaMiddleware:
    """Answer 402 to a metered request whose quota is spent."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        tenant = request.tenant  # type: ignore[attr-defined]
        # A delivery's endpoint says what it spends, its address does not.
        known = getattr(request, "usage_kind", None)
        kind = (known or metered_kind(request.method, request.path)) if tenant else None
        if kind is None:
            return self.get_response(request)
        quota = limits.quota_of(tenant, kind)
        if not quota.is_spent:
            return self.get_response(request)
        QUOTA_REFUSED.labels(kind).inc()
        return respond(request, _spent(quota))


def _spent(quota: QuotaState) -> Problem:
    kind = quota.kind.replace("_", " ")
    detail = (
        f"Your plan includes {quota.limit} {kind}s in this period and they are used up. "
        f"Move to a larger plan, or wait until {quota.resets_at:%Y-%m-%d %H:%M} UTC."
    )
    members = {
        "kind": quota.kind,
        "used": quota.used,
        "limit": quota.limit,
        "resets_at": quota.resets_at.isoformat(),
    }
    return Problem(402, "The quota is used up", detail, members=members)
