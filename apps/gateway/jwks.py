"""The keys by which anybody checks our tokens."""

from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from apps.gateway.signing import list_public_keys

CACHED_S = 300  # less than a key is published before it signs


@require_safe
def show_keys(request: HttpRequest) -> JsonResponse:
    """Return the JSON Web Key Set, for anybody and from any page."""
    return JsonResponse(
        {"keys": list_public_keys()},
        headers={"Cache-Control": f"public, max-age={CACHED_S}", "Access-Control-Allow-Origin": "*"},
    )
