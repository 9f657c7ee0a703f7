"""The console of outgoing webhooks: endpoints, what was sent to them, and what they answered."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django import forms
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import path, reverse

from apps.resilience.errors import DomainError
from apps.tenants.context import in_tenant
from apps.tenants.dashboard import MemberRequest, add_errors, member_page, notify
from apps.tenants.paging import Page, paginate
from apps.tenants.secrets import seal, unseal
from apps.webhooks import selectors, services
from apps.webhooks.contracts import ALL_TYPES, EndpointView, IssuedSecret
from apps.webhooks.forms import DeliveryFilter, EndpointForm, RotateForm, TestForm
from apps.webhooks.models import WebhookDelivery

READ, WRITE, SECRETS = "read:webhooks", "write:webhooks", "write:secrets"
SESSION_SECRET = "outgoing_webhook_secret"  # noqa: S105 - a place: [tenant's id, endpoint's id, sealed secret]
NEW_SECRET = "Copy the signing secret now: it is shown this once."  # noqa: S105 - a sentence


@member_page(read=READ, write=WRITE)
def show_endpoints(request: MemberRequest) -> HttpResponse:
    """List the endpoints, and make a new one."""
    form = EndpointForm(
        request.POST if request.method == "POST" else None, initial={"event_types": [ALL_TYPES]}
    )
    if form.is_bound and form.is_valid():
        try:
            issued = services.create_endpoint(
                tenant=request.tenant, actor=request.user.email, **form.cleaned_data
            )
        except DomainError as error:
            add_errors(form, error)
        else:
            return _show_secret(request, issued, "The endpoint is made: it hears what happens from now on.")
    with in_tenant(request.tenant):
        page = paginate(selectors.query_endpoints(), request.GET.get("cursor", ""))
    status = 422 if form.errors else 200
    return render(request, "webhooks/endpoints.html", {"form": form, "page": page}, status=status)


@member_page(read=READ)
def show_endpoint(request: MemberRequest, endpoint_id: UUID) -> HttpResponse:
    """Show an endpoint with its deliveries."""
    return _show(request, endpoint_id)


@member_page(read=WRITE, write=WRITE)
def edit_endpoint(request: MemberRequest, endpoint_id: UUID) -> HttpResponse:
    """Change an endpoint's address, events and description."""
    endpoint = selectors.get_endpoint(tenant=request.tenant, endpoint_id=endpoint_id)
    initial = {
        "url": endpoint.url,
        "description": endpoint.description,
        "event_types": list(endpoint.event_types),
    }
    form = EndpointForm(request.POST if request.method == "POST" else None, initial=initial)
    if form.is_bound and form.is_valid():
        try:
            services.update_endpoint(
                tenant=request.tenant,
                endpoint_id=endpoint_id,
                actor=request.user.email,
                **form.cleaned_data,
            )
        except DomainError as error:
            add_errors(form, error)
        else:
            notify(request, "Saved: what waits goes to this address too.")
            return redirect("outgoing_endpoint", endpoint_id)
    context = {"form": form, "endpoint": endpoint}
    return render(request, "webhooks/edit.html", context, status=422 if form.errors else 200)


@member_page(write=SECRETS, post_only=True)
def rotate(request: MemberRequest, endpoint_id: UUID) -> HttpResponse:
    """Give an endpoint a new secret; for a while both of them sign."""
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
    """Send nothing until somebody resumes the endpoint."""
    services.pause_endpoint(tenant=request.tenant, endpoint_id=endpoint_id, actor=request.user.email)
    notify(
        request,
        "It is paused: what happens meanwhile waits for 30 days.",
        undo_url=reverse("outgoing_resume", args=[endpoint_id]),
    )
    return redirect("outgoing_endpoint", endpoint_id)


@member_page(write=WRITE, post_only=True)
def resume(request: MemberRequest, endpoint_id: UUID) -> HttpResponse:
    """Send again."""
    services.resume_endpoint(tenant=request.tenant, endpoint_id=endpoint_id, actor=request.user.email)
    notify(
        request,
        "It is sent to again, first what has waited.",
        undo_url=reverse("outgoing_pause", args=[endpoint_id]),
    )
    return redirect("outgoing_endpoint", endpoint_id)


@member_page(write=WRITE, post_only=True)
def delete(request: MemberRequest, endpoint_id: UUID) -> HttpResponse:
    """Forget an endpoint with its deliveries."""
    services.delete_endpoint(tenant=request.tenant, endpoint_id=endpoint_id, actor=request.user.email)
    notify(request, "The endpoint is deleted: it hears nothing any more.")
    return redirect("outgoing")


@member_page(write=WRITE, post_only=True)
def send_test(request: MemberRequest, endpoint_id: UUID) -> HttpResponse:
    """Send an example of an event."""
    form = TestForm(request.POST)
    selectors.get_endpoint(tenant=request.tenant, endpoint_id=endpoint_id)
    if form.is_valid():
        try:
            delivery = services.send_test(
                tenant=request.tenant,
                endpoint_id=endpoint_id,
                actor=request.user.email,
                **form.cleaned_data,
            )
        except DomainError as error:
            add_errors(form, error)
        else:
            return redirect("outgoing_delivery", delivery.id)
    return _show(request, endpoint_id, test_form=form)


@member_page(write=WRITE, post_only=True)
def replay_failed(request: MemberRequest, endpoint_id: UUID) -> HttpResponse:
    """Deliver again what an endpoint failed to take."""
    count = services.replay_failed(tenant=request.tenant, endpoint_id=endpoint_id, actor=request.user.email)
    words = f"{count} deliveries are sent again." if count != 1 else "One delivery is sent again."
    notify(request, words if count else "No delivery has failed: there is nothing to send again.")
    return redirect("outgoing_endpoint", endpoint_id)


@member_page(read=READ)
def show_delivery(request: MemberRequest, delivery_id: UUID) -> HttpResponse:
    """Show what is sent, and every attempt with what was answered; htmx asks for the attempts alone."""
    delivery = selectors.get_delivery(tenant=request.tenant, delivery_id=delivery_id)
    context = {
        "delivery": delivery,
        "endpoint": delivery.endpoint.view(),
        "attempts": selectors.list_attempts(tenant=request.tenant, delivery_id=delivery_id),
        "body": json.dumps(json.loads(delivery.body), indent=2, ensure_ascii=False),
        "may_write": request.principal.may(WRITE),
    }
    is_piece = request.headers.get("HX-Target") == "attempts"
    return render(request, f"webhooks/{'_attempts' if is_piece else 'delivery'}.html", context)


@member_page(write=WRITE, post_only=True)
def replay(request: MemberRequest, delivery_id: UUID) -> HttpResponse:
    """Deliver again under the same webhook-id."""
    services.replay(tenant=request.tenant, delivery_id=delivery_id, actor=request.user.email)
    notify(request, "It is sent again.")
    return redirect("outgoing_delivery", delivery_id)


def _show(request: MemberRequest, endpoint_id: UUID, **bound: forms.Form) -> HttpResponse:
    with in_tenant(request.tenant):
        endpoint = selectors.get_endpoint(tenant=request.tenant, endpoint_id=endpoint_id)
        filter_form = DeliveryFilter(request.GET)
        context: dict[str, Any] = {
            "endpoint": endpoint,
            "may_write": request.principal.may(WRITE),
            "page": _deliveries(request, endpoint, filter_form),
            "filter_form": filter_form,
            "rotate_form": RotateForm(),
            "test_form": TestForm(),
            **bound,
        }
    context["secret"] = _take_secret(request, endpoint_id)
    status = 422 if bound or filter_form.errors else 200
    return render(request, "webhooks/endpoint.html", context, status=status)


def _deliveries(
    request: MemberRequest, endpoint: EndpointView, form: DeliveryFilter
) -> Page[WebhookDelivery]:
    chosen = form.cleaned_data if form.is_valid() else {}
    rows = selectors.query_deliveries(endpoint_id=endpoint.id, **chosen)
    return paginate(rows, request.GET.get("cursor", ""), size=25)


def _show_secret(request: MemberRequest, issued: IssuedSecret, said: str) -> HttpResponse:
    # Between the POST and the page that shows it, encrypted: a reload must not make another secret.
    sealed = seal(issued.secret, request.tenant.id)
    request.session[SESSION_SECRET] = [str(request.tenant.id), str(issued.endpoint.id), sealed]
    notify(request, f"{said} {NEW_SECRET}")
    return redirect("outgoing_endpoint", issued.endpoint.id)


def _take_secret(request: MemberRequest, endpoint_id: UUID) -> str:
    kept = request.session.get(SESSION_SECRET)
    if not kept or kept[:2] != [str(request.tenant.id), str(endpoint_id)]:
        return ""
    del request.session[SESSION_SECRET]
    return unseal(kept[2], request.tenant.id)


ENDPOINT = "channels/outgoing/<uuid:endpoint_id>/"
DELIVERY = "channels/outgoing/deliveries/<uuid:delivery_id>/"
urlpatterns = [
    path("channels/outgoing/", show_endpoints, name="outgoing"),
    path(ENDPOINT, show_endpoint, name="outgoing_endpoint"),
    path(f"{ENDPOINT}edit/", edit_endpoint, name="outgoing_edit"),
    path(f"{ENDPOINT}rotate/", rotate, name="outgoing_rotate"),
    path(f"{ENDPOINT}pause/", pause, name="outgoing_pause"),
    path(f"{ENDPOINT}resume/", resume, name="outgoing_resume"),
    path(f"{ENDPOINT}delete/", delete, name="outgoing_delete"),
    path(f"{ENDPOINT}test/", send_test, name="outgoing_test"),
    path(f"{ENDPOINT}replay/", replay_failed, name="outgoing_replay_failed"),
    path(DELIVERY, show_delivery, name="outgoing_delivery"),
    path(f"{DELIVERY}replay/", replay, name="outgoing_replay"),
]
