"""A sender of webhooks, for every test of them."""

import base64
import hashlib
import hmac
import json
import time
import uuid
from typing import Any

from django.http import HttpResponse
from django.test import Client

from apps.orchestration.definitions.services import publish_workflow, save_draft
from apps.orchestration.hooks.contracts import IssuedSecret
from apps.orchestration.hooks.models import Delivery
from apps.orchestration.hooks.services import create_endpoint
from apps.orchestration.models import AgentRun
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef

WRONG_SECRET = "whsec_" + "QUJD" * 8
ORDER = {"order_number": "77", "anything": {"else": True}}
IMPORT_ORDERS = """
name: "%s"
version: "1"
triggers: [{type: webhook, endpoint: "%s"}]
inputs:
  order_number: {type: string, required: true, description: "the order"}
  copies: {type: int, default: 1}
steps: [{id: find, type: tool, tool: faq_search}]
"""


def headers(secret: str, body: bytes, webhook_id: str = "", at: float | None = None) -> dict[str, str]:
    """Sign as the specification says, without any code of the product's."""
    webhook_id, now = webhook_id or f"msg_{uuid.uuid4().hex}", str(int(at or time.time()))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{webhook_id}.{now}.".encode() + body, hashlib.sha256).digest()
    signature = f"v1,{base64.b64encode(digest).decode()}"
    return {"webhook-id": webhook_id, "webhook-timestamp": now, "webhook-signature": signature}


def post(tenant: TenantRef, name: str, body: bytes, signed: dict[str, str], **options: Any) -> HttpResponse:
    client = Client(raise_request_exception=False, **options)
    return client.post(f"/hooks/{tenant.slug}/{name}", body, "application/json", headers=signed)


def send(tenant: TenantRef, issued: IssuedSecret, payload: Any, webhook_id: str = "") -> HttpResponse:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return post(tenant, issued.endpoint.name, body, headers(issued.secret, body, webhook_id))


def open_endpoint(tenant: TenantRef, name: str = "support", action: str = "workflows") -> IssuedSecret:
    return create_endpoint(tenant=tenant, name=name, action=action, actor="test")


def listen(tenant: TenantRef, address: str = "/webhook/orders", name: str = "take_orders") -> None:
    """Publish a workflow that wants an order's number."""
    save_draft(tenant=tenant, source=IMPORT_ORDERS % (name, address))
    publish_workflow(tenant=tenant, name=name)


def log_of(tenant: TenantRef) -> list[Delivery]:
    with in_tenant(tenant):
        return list(Delivery.objects.order_by("id"))


def statuses(tenant: TenantRef) -> list[str]:
    return [delivery.status for delivery in log_of(tenant)]


def runs(tenant: TenantRef) -> list[AgentRun]:
    with in_tenant(tenant):
        return list(AgentRun.objects.order_by("id"))
