"""API keys: who has which, a new one, rotation, revocation."""

import datetime as dt
from typing import Any

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from apps.resilience.errors import DomainError, NotFoundError
from apps.tenants import selectors, services
from apps.tenants.context import in_tenant
from apps.tenants.contracts import IssuedKey
from apps.tenants.dashboard import MemberRequest, add_errors, member_page, notify
from apps.tenants.forms import ApiKeyForm, RotateKeyForm
from apps.tenants.models import ApiKey
from apps.tenants.paging import paginate
from apps.tenants.permissions import expand_scopes
from apps.tenants.secrets import seal, unseal

SESSION_TOKEN = "api_key_token"  # noqa: S105 - the name of a place: [tenant's id, sealed token]
READ, WRITE = "read:api_keys", "write:api_keys"


@member_page(read=READ, write=WRITE, needs_verified=True)
def list_keys(request: MemberRequest) -> HttpResponse:
    """Show the keys, and make a new one."""
    given = request.POST if request.method == "POST" else None
    form = ApiKeyForm(given, held=request.principal.permissions)
    if request.method == "POST" and form.is_valid() and _create(request, form):
        notify(request, "The key is made. Copy its token now: it is shown this once.")
        return redirect("api_keys")
    with in_tenant(request.tenant):
        page = paginate(
            selectors.query_api_keys(), request.GET.get("cursor", ""), by="-created_at", then="-key_id"
        )
    rows = [(key, _state(key)) for key in page.items]
    context = {"form": form, "page": page, "rows": rows, "token": _take_token(request)}
    return render(request, "tenants/api_keys.html", context, status=422 if form.errors else 200)


@member_page(read=READ, write=WRITE)
def renew_key(request: MemberRequest, key_id: str) -> HttpResponse:
    """Replace a key by a new one with the same rights."""
    with in_tenant(request.tenant):
        key = selectors.query_api_keys().filter(key_id=key_id).first()
    if key is None:
        raise NotFoundError(f"There is no API key {key_id!r}.")
    form = RotateKeyForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid() and _is_within_own(request, form, key.scopes):
        issued = services.rotate_api_key(
            tenant=request.tenant,
            key_id=key_id,
            actor=request.user.email,
            maker=request.principal,
            **form.cleaned_data,
        )
        _keep_token(request, issued)
        notify(request, "The new key is made. Copy its token now: it is shown this once.")
        return redirect("api_keys")
    context = {"form": form, "key": key, "state": _state(key)}
    return render(request, "tenants/api_key.html", context, status=422 if form.errors else 200)


@member_page(write=WRITE, post_only=True)
def drop_key(request: MemberRequest, key_id: str) -> HttpResponse:
    """Revoke a key for good."""
    services.revoke_api_key(tenant=request.tenant, key_id=key_id, actor=request.user.email)
    notify(request, "The key is revoked: every process refuses it within a second.")
    return redirect("api_keys")


def _create(request: MemberRequest, form: ApiKeyForm) -> bool:
    given = form.cleaned_data
    if not _is_within_own(request, form, given["scopes"]):
        return False
    try:
        issued = services.create_api_key(
            tenant=request.tenant,
            name=given["name"],
            scopes=given["scopes"],
            rate_limits=_limits_of(given["requests_per_minute"]),
            expires_at=_end_of(given["expires_on"]),
            actor=request.user.email,
            maker=request.principal,
        )
    except DomainError as error:
        add_errors(form, error)
        return False
    _keep_token(request, issued)
    return True


def _is_within_own(request: MemberRequest, form: Any, scopes: list[str]) -> bool:
    beyond = expand_scopes(scopes) - request.principal.permissions
    if beyond:
        field = "scopes" if "scopes" in form.fields else None
        form.add_error(field, f"You do not hold {', '.join(sorted(beyond))} yourself.")
    return not beyond


def _limits_of(per_minute: int | None) -> dict[str, int]:
    return {"requests_per_minute": per_minute} if per_minute else {}


def _end_of(day: dt.date | None) -> dt.datetime | None:
    return dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), dt.UTC) if day else None


def _keep_token(request: MemberRequest, issued: IssuedKey) -> None:
    # Between the POST and the page that shows it, encrypted: a reload must not make another key.
    request.session[SESSION_TOKEN] = [str(request.tenant.id), seal(issued.token, request.tenant.id)]


def _take_token(request: MemberRequest) -> str:
    tenant_id, sealed = request.session.pop(SESSION_TOKEN, ("", ""))
    return unseal(sealed, request.tenant.id) if tenant_id == str(request.tenant.id) else ""


def _state(key: ApiKey) -> str:
    now = timezone.now()
    if key.is_usable(now):
        return "ending" if key.revoked_at else "active"
    return "revoked" if key.revoked_at and key.revoked_at <= now else "expired"
