"""Tell browsers what an answer may load and do, whoever made it."""

import secrets

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject

from apps.gateway.middleware import GetResponse

HEADER = "Content-Security-Policy"
NO_PAGE = "default-src 'none'; frame-ancestors 'none'"
PERMISSIONS = "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"


class PagePolicyMiddleware:
    """Send a strict Content-Security-Policy with every answer that has not chosen its own.

    Pages: nothing from elsewhere, nobody's frame, of inline scripts and styles only those that carry the
    request's `csp_nonce`. What is no page may not do anything, should a browser show it as one.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        nonce = _Nonce()
        request.csp_nonce = SimpleLazyObject(nonce)  # type: ignore[attr-defined]
        response = self.get_response(request)
        is_page = response.get("Content-Type", "").startswith("text/html")
        response.setdefault(HEADER, page_policy(nonce=nonce.value) if is_page else NO_PAGE)
        response.setdefault("Permissions-Policy", PERMISSIONS)
        return response


class _Nonce:
    """Made when a template asks for it; a page that does not ask has nothing inline, and may not."""

    value = ""

    def __call__(self) -> str:
        self.value = secrets.token_urlsafe(16)
        return self.value


def page_policy(frame_ancestors: str = "'none'", nonce: str = "") -> str:
    """Return the policy; `frame_ancestors` says who may show the page in a frame."""
    inline = f" 'nonce-{nonce}'" if nonce else ""
    return (
        f"default-src 'none'; script-src 'self'{inline}; style-src 'self'{inline}; img-src 'self' data:; "
        f"font-src 'self'; connect-src 'self' {settings.REALTIME_URL}; form-action 'self'; frame-src 'self'; "
        f"base-uri 'none'; frame-ancestors {frame_ancestors}"
    )
