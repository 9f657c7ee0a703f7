"""Bring the middleware's principal to DRF, and check what it may do."""

from typing import Any

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from apps.gateway.problems import CHALLENGE, HOOK_CHALLENGE, HOOKS_PREFIX
from apps.tenants.contracts import OPEN, Principal
from apps.tenants.permissions import require


class CredentialAuthentication(BaseAuthentication):
    """Hand over what `CredentialMiddleware` found; a bad credential is refused here."""

    def authenticate(self, request: Request) -> tuple[Principal, Principal] | None:
        if refusal := getattr(request, "credential_refusal", None):
            raise AuthenticationFailed(refusal)
        principal = getattr(request, "principal", None)
        return (principal, principal) if principal else None

    def authenticate_header(self, request: Request) -> str:
        return HOOK_CHALLENGE if request.path.startswith(HOOKS_PREFIX) else CHALLENGE


class HasRequiredScope(BasePermission):
    """Let a principal pass that holds the permission which the view asks for its method.

    A view says `required_scopes = {"GET": "read:orders", "POST": "write:orders"}`, an action of a view set
    `@action(..., required_scopes={"POST": "write:billing"})`; OPEN and SIGNED_IN are no permissions of the
    table, and ask for less. What a view does not declare is refused.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        method = "GET" if request.method == "HEAD" else str(request.method)
        scopes = getattr(view, "required_scopes", {})
        if scopes.get(method) == OPEN:
            return True
        principal = request.auth
        if not isinstance(principal, Principal):
            return False
        if method not in scopes:
            # What the view cannot do is answered with 405 by its dispatcher, which comes next.
            return method == "OPTIONS" or method not in view.allowed_methods
        require(principal, scopes[method])
        return True
