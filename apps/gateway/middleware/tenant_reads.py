"""Run reads in one transaction of the tenant."""

from django.http import HttpRequest, HttpResponse

from apps.gateway.middleware import GetResponse
from apps.tenants.context import in_tenant

READS = frozenset({"GET", "HEAD"})


class TenantReadMiddleware:
    """Wrap GET and HEAD under /api/ in the tenant's transaction, so that they see one state of its data.

    Writes get no transaction here: their services open their own, around what belongs together.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        tenant = request.tenant  # type: ignore[attr-defined]
        if tenant is None or request.method not in READS or not request.path.startswith("/api/"):
            return self.get_response(request)
        with in_tenant(tenant):
            return self.get_response(request)
