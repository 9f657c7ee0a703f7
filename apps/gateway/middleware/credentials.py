"""Find out who is calling, and serve their tenant."""

import structlog
from django.http import HttpRequest, HttpResponse

from apps.gateway.credentials import BadCredentials, find_principal, find_sender
from apps.gateway.middleware import GetResponse
from apps.gateway.problems import API_PREFIXES, HOOKS_PREFIX, Problem, respond
from apps.tenants.acting import acting_as
from apps.tenants.context import tenant_context
from apps.tenants.contracts import Principal, PrincipalKind

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
SUSPENDED = "This company's account is suspended: reading works, writing does not. Write to support."


class CredentialMiddleware:
    """Set `request.principal` and `request.tenant`, and enter the tenant's context.

    A bad credential is not refused here: the views that need one do that, and the login must not.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.principal = request.tenant = request.usage_kind = None  # type: ignore[attr-defined]
        if not request.path.startswith(API_PREFIXES):
            return self.get_response(request)
        try:
            principal = _find_principal(request)
        except BadCredentials as exc:
            request.credential_refusal = str(exc)  # type: ignore[attr-defined]
            principal = None
        if principal is None:
            return self.get_response(request)
        request.principal, request.tenant = principal, principal.tenant  # type: ignore[attr-defined]
        if principal.tenant.is_suspended and request.method not in SAFE:
            return respond(request, Problem(403, "Account suspended", SUSPENDED))
        with (
            structlog.contextvars.bound_contextvars(tenant=principal.tenant.slug, principal=principal.id),
            tenant_context(principal.tenant),
            acting_as(_actor_of(principal)),
        ):
            return self.get_response(request)


def _actor_of(principal: Principal) -> str:
    return principal.id if principal.kind is PrincipalKind.API_KEY else f"{principal.kind}:{principal.id}"


def _find_principal(request: HttpRequest) -> Principal | None:
    if not request.path.startswith(HOOKS_PREFIX):
        return find_principal(request.headers.get("Authorization", ""))
    sender = find_sender(request)
    if sender is None:
        return None
    request.usage_kind = sender.usage_kind  # type: ignore[attr-defined]
    kind, endpoint_id = PrincipalKind.WEBHOOK, str(sender.endpoint_id)
    return Principal(kind=kind, id=endpoint_id, tenant=sender.tenant, name=sender.name)
