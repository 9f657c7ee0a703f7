"""Webhook endpoints as members set them up, try them, and see what was delivered."""

from __future__ import annotations

import json
import shlex
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import path, reverse

from apps.orchestration.definitions.contracts import WorkflowDefinition
from apps.orchestration.hooks import selectors, services
from apps.orchestration.hooks.contracts import EndpointView, IssuedSecret
from apps.orchestration.hooks.forms import DeliveryFilter, EndpointForm, RotateForm, TryForm
from apps.orchestration.hooks.models import Delivery
from apps.orchestration.hooks.payloads import sample_payload
from apps.resilience.errors import DomainError
from apps.tenants.context import in_tenant
from apps.tenants.dashboard import MemberRequest, add_errors, member_page, notify
from apps.tenants.paging import Page, paginate
from apps.tenants.secrets import seal, unseal

READ, WRITE, SECRETS = "read:webhooks", "write:webhooks", "write:secrets"
SESSION_SECRET = "webhook_secret"  # noqa: S105 - the name of a place: [tenant's id, endpoint's id, sealed secret]
NEW_SECRET = "Copy the signing secret now: it is shown this once."  # noqa: S105 - a sentence
PAUSED = "The endpoint is paused: resume it to try it."


@member_page(read=READ, write=WRITE)
def show_webhooks(request: MemberRequest) -> HttpResponse:
    """List the endpoints, and make a new one."""
    data = request.POST if request.method == "POST" else None
    form = EndpointForm(data, initial={"name": request.GET.get("name", "")[:63]})
    if form.is_bound and form.is_valid():
        try:
            issued = services.create_endpoint(
                tenant=request.tenant, actor=request.user.email, **form.cleaned_data
            )
        except DomainError as error:
            add_errors(form, error)
        else:
            return _show_secret(request, issued, f"The endpoint {issued.endpoint.name} is open.")
    with in_tenant(request.tenant):
        endpoints = selectors.query_endpoints()
        context = {
            "form": form,
            "page": paginate(endpoints, request.GET.get("cursor", ""), by="name"),
            "expected": selectors.list_expected(tenant=request.tenant),
        }
    return render(request, "orchestration/webhooks.html", context, status=422 if form.errors else 200)


@member_page(read=READ)
def show_webhook(request: MemberRequest, endpoint_id: UUID) -> HttpResponse:
    """Show an endpoint: its address, who listens, how to sign, and what was delivered."""
    return _show(request, endpoint_id)


@member_page(write=SECRETS, post_only=True)
def rotate(request: MemberRequest, endpoint_id: UUID) -> HttpResponse:
    """Give an endpoint a new secret; the present one goes on working for a while."""
    form = RotateForm(request.POST)
    selectors.get_endpoint(tenant=request.tenant, endpoint_id=endpoint_id)
    if not form.is_valid():
        return _show(request, endpoint_id, rotate_form=form)
    issued = services.rotate_secret(
        tenant=request.tenant, endpoint_id=endpoint_id, actor=request.user.email, **form.cleaned_data
    )
    return _show_secret(request, issued, "The new secret is made.")


@member_page(write=WRITE, post_only=True)
def pause(request: MemberRequest, endpoint_id: UUID) -> HttpResponse:
    """Refuse deliveries until somebody resumes the endpoint."""
    return _switch(request, endpoint_id, is_active=False)


@member_page(write=WRITE, post_only=True)
def resume(request: MemberRequest, endpoint_id: UUID) -> HttpResponse:
    """Take deliveries again."""
    return _switch(request, endpoint_id, is_active=True)


@member_page(write=WRITE, post_only=True)
def delete(request: MemberRequest, endpoint_id: UUID) -> HttpResponse:
    """Close an endpoint for good."""
    gone = services.delete_endpoint(tenant=request.tenant, endpoint_id=endpoint_id, actor=request.user.email)
    notify(request, f"The endpoint {gone.name} is deleted: its address answers nobody any more.")
    return redirect("webhooks")


@member_page(write=WRITE, post_only=True)
def send_test(request: MemberRequest, endpoint_id: UUID) -> HttpResponse:
    """Sign the given body and deliver it, as a sender does."""
    endpoint = selectors.get_endpoint(tenant=request.tenant, endpoint_id=endpoint_id)
    form = TryForm(request.POST)
    if form.is_valid():
        try:
            answer = services.send_test_delivery(
                tenant=request.tenant,
                endpoint_id=endpoint_id,
                body=form.cleaned_data["body"],
                webhook_id=f"test_{form.cleaned_data['key']}",
                actor=request.user.email,
            )
        except DomainError as error:
            _explain(form, error, endpoint)
        else:
            return redirect(f"{reverse('webhook', args=[endpoint_id])}?tried={answer.delivery_id}#try")
    return _show(request, endpoint_id, try_form=form)


def _explain(form: TryForm, error: DomainError, endpoint: EndpointView) -> None:
    """Put a refusal at the body that it is about."""
    if not endpoint.is_active:
        form.add_error(None, PAUSED)
    elif not error.errors:
        form.add_error(None, error.detail)
    for name, texts in error.errors.items():
        form.add_error("body", [text if name == "body" else f"{name}: {text}" for text in texts])


def _switch(request: MemberRequest, endpoint_id: UUID, *, is_active: bool) -> HttpResponse:
    services.switch_endpoint(
        tenant=request.tenant, endpoint_id=endpoint_id, is_active=is_active, actor=request.user.email
    )
    said, undo = ("It takes deliveries again.", "webhook_pause")
    if not is_active:
        said, undo = ("It is paused: deliveries are refused.", "webhook_resume")
    notify(request, said, undo_url=reverse(undo, args=[endpoint_id]))
    return redirect("webhook", endpoint_id)


def _show(
    request: MemberRequest,
    endpoint_id: UUID,
    *,
    rotate_form: RotateForm | None = None,
    try_form: TryForm | None = None,
) -> HttpResponse:
    with in_tenant(request.tenant):
        endpoint = selectors.get_endpoint(tenant=request.tenant, endpoint_id=endpoint_id)
        listeners = selectors.list_listeners(tenant=request.tenant, name=endpoint.name)
        filter_form = DeliveryFilter(request.GET)
        context = {
            "endpoint": endpoint,
            "may_write": request.principal.may(WRITE),
            "listeners": listeners,
            "page": _deliveries(request, endpoint_id, filter_form),
            "filter_form": filter_form,
            "tried": _tried(request, endpoint_id),
            **_how_to_send(request, endpoint, listeners),
        }
    sample = json.dumps(context["sample"], indent=2, ensure_ascii=False)
    context |= {
        "rotate_form": rotate_form or RotateForm(),
        "try_form": try_form or TryForm(initial={"body": sample, "key": uuid4().hex}),
        "secret": _take_secret(request, endpoint_id),
    }
    status = 422 if rotate_form or try_form or filter_form.errors else 200
    return render(request, "orchestration/webhook.html", context, status=status)


def _deliveries(request: MemberRequest, endpoint_id: UUID, form: DeliveryFilter) -> Page[Delivery]:
    status = form.cleaned_data["status"] if form.is_valid() else ""
    rows = selectors.query_deliveries(endpoint_id=endpoint_id, status=status)
    return paginate(rows, request.GET.get("cursor", ""), size=25)


def _tried(request: MemberRequest, endpoint_id: UUID) -> Delivery | None:
    try:
        delivery_id = UUID(request.GET.get("tried", ""))
    except ValueError:
        return None
    return selectors.find_delivery(tenant=request.tenant, endpoint_id=endpoint_id, delivery_id=delivery_id)


def _how_to_send(
    request: MemberRequest, endpoint: EndpointView, listeners: list[WorkflowDefinition]
) -> dict[str, Any]:
    """Return the address, a body that fits, and commands that sign and send it."""
    route = reverse("hook", args=[request.tenant.slug, endpoint.name])
    address, sample = f"{settings.PUBLIC_URL.rstrip('/')}{route}", sample_payload(endpoint.action, listeners)
    body = shlex.quote(json.dumps(sample, ensure_ascii=False))
    commands = f"""SECRET='whsec_…'
BODY={body}
ID="msg_$(openssl rand -hex 12)"
NOW=$(date +%s)
KEY=$(printf %s "${{SECRET#whsec_}}" | openssl base64 -d -A | od -An -v -tx1 | tr -d ' \\n')
SIGNATURE=$(printf %s "$ID.$NOW.$BODY" \\
  | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$KEY" -binary | openssl base64 -A)
curl -i {shlex.quote(address)} --data-binary "$BODY" -H "Content-Type: application/json" \\
  -H "webhook-id: $ID" -H "webhook-timestamp: $NOW" -H "webhook-signature: v1,$SIGNATURE\""""
    return {"address": address, "sample": sample, "commands": commands}


def _show_secret(request: MemberRequest, issued: IssuedSecret, said: str) -> HttpResponse:
    # Between the POST and the page that shows it, encrypted: a reload must not make another secret.
    kept = [str(request.tenant.id), str(issued.endpoint.id), seal(issued.secret, request.tenant.id)]
    request.session[SESSION_SECRET] = kept
    notify(request, f"{said} {NEW_SECRET}")
    return redirect("webhook", issued.endpoint.id)


def _take_secret(request: MemberRequest, endpoint_id: UUID) -> str:
    kept = request.session.get(SESSION_SECRET)
    if not kept or kept[:2] != [str(request.tenant.id), str(endpoint_id)]:
        return ""
    del request.session[SESSION_SECRET]
    return unseal(kept[2], request.tenant.id)


urlpatterns = [
    path("channels/webhooks/", show_webhooks, name="webhooks"),
    path("channels/webhooks/<uuid:endpoint_id>/", show_webhook, name="webhook"),
    path("channels/webhooks/<uuid:endpoint_id>/rotate/", rotate, name="webhook_rotate"),
    path("channels/webhooks/<uuid:endpoint_id>/pause/", pause, name="webhook_pause"),
    path("channels/webhooks/<uuid:endpoint_id>/resume/", resume, name="webhook_resume"),
    path("channels/webhooks/<uuid:endpoint_id>/delete/", delete, name="webhook_delete"),
    path("channels/webhooks/<uuid:endpoint_id>/test/", send_test, name="webhook_test"),
]
