"""Serve a company's public pages where its own domain was asked for."""

from functools import partial
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.request import split_domain_port, validate_host

from apps.gateway.middleware import GetResponse
from apps.tenants.domains.selectors import find_tenant_by_host

LOCAL = [".localhost", "127.0.0.1", "[::1]"]


class CompanyHostMiddleware:
    """Set `request.company` and the few routes of its site; the platform's own hosts pass untouched.

    A host that nobody has proven is left to Django, which refuses what ALLOWED_HOSTS does not name.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        host = request.META.get("HTTP_HOST", "").lower()
        name = split_domain_port(host)[0]
        if name and not validate_host(name, _own_hosts()):
            company = find_tenant_by_host(name)
            if company is not None:
                request.company = company  # type: ignore[attr-defined]
                request.urlconf = "aiaas.company_urls"
                # It is proven, so it is as good as one of ALLOWED_HOSTS.
                request.get_host = partial(str, host)  # type: ignore[method-assign]
        return self.get_response(request)


def _own_hosts() -> list[str]:
    """Return the hosts that are the platform's; a `*` lets any in and names none."""
    named = [host for host in settings.ALLOWED_HOSTS if host != "*"]
    return [*named, *LOCAL, urlsplit(settings.PUBLIC_URL).hostname or ""]
