"""Tell browsers what the pages of people may load and do."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from apps.gateway.middleware import GetResponse

PAGES = ("/app/", "/accounts/")
HEADER = "Content-Security-Policy"


class PagePolicyMiddleware:
    """Send a strict Content-Security-Policy with every page that has not chosen its own.

    No inline script or style, nothing from elsewhere, nobody's frame.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if request.path.startswith(PAGES):
            response.setdefault(HEADER, page_policy())
            response.setdefault("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
        return response


def page_policy(frame_ancestors: str = "'none'") -> str:
    """Return the policy; `frame_ancestors` says who may show the page in a frame."""
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        f"connect-src 'self' {settings.REALTIME_URL}; form-action 'self'; frame-src 'self'; "
        f"base-uri 'none'; frame-ancestors {frame_ancestors}"
    )
