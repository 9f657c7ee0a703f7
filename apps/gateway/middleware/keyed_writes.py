"""One transaction around a write that carries an Idempotency-Key: its effect and its remembered answer."""

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import Resolver404, resolve

from apps.gateway.idempotency import Claim, has_effect, settle_write
from apps.gateway.middleware import GetResponse
from apps.gateway.problems import Problem, respond
from apps.tenants.context import APP

TAKEN_OVER = Problem(
    409,
    "Request taken over",
    "This request took so long that a repeat of it took its place; repeat it to get that one's answer.",
    headers={"Retry-After": "2"},
)


class KeyedWriteMiddleware:
    """Commit both or neither, so that a process may die anywhere and a repeat finds the answer or no effect.

    A view that waits for a network says `keys_itself`: True, or "wait" where it does so for `?wait` only. It
    hands the key on to its services, which keep it beside the effect.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        claim: Claim | None = getattr(request, "idempotency_claim", None)
        if claim is None or keys_itself(request):
            return self.get_response(request)
        with transaction.atomic(using=APP):
            response = self.get_response(request)
            if not has_effect(response):
                transaction.set_rollback(True, using=APP)
            elif not settle_write(claim, response):
                transaction.set_rollback(True, using=APP)
                return respond(request, TAKEN_OVER)
        request.is_settled = True  # type: ignore[attr-defined]
        return response


def keys_itself(request: HttpRequest) -> bool:
    """Tell whether the view of a request sees to it by itself that a repeat has no second effect."""
    try:
        view = resolve(request.path_info).func
    except Resolver404:
        return True
    how = getattr(getattr(view, "cls", None), "keys_itself", False)
    return "wait" in request.GET if how == "wait" else bool(how)
