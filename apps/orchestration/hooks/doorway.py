"""The way of a delivery: its signature is verified, then it does its work exactly once."""

from __future__ import annotations

import datetime as dt
import hashlib
import time
from functools import lru_cache
from typing import Any
from uuid import UUID, uuid4

from django.db import IntegrityError, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone
from uuid_utils.compat import uuid7

from apps.billing.contracts import UsageKind
from apps.billing.services import hold_quota
from apps.conversations.contracts import ChannelKind, StartedConversation
from apps.conversations.services import start_conversation
from apps.orchestration.definitions.contracts import WorkflowDefinition
from apps.orchestration.definitions.selectors import list_hooked
from apps.orchestration.hooks import payloads, signing
from apps.orchestration.hooks.contracts import (
    DeliveryRefused,
    DeliveryStatus,
    HookAction,
    HookAnswer,
    Sender,
    SignedDelivery,
)
from apps.orchestration.hooks.models import Delivery, Endpoint
from apps.orchestration.services import create_run
from apps.resilience.errors import ConflictError, DomainError, InvalidInput, NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.secrets import seal, unseal
from apps.tenants.selectors import get_tenant, require_active
from apps.tenants.services import record_audit

NO_SUCH_DOOR = (
    "No active endpoint at this address takes this signature. Check the address, the secret, and that the "
    "exact bytes of the body are signed as webhook-id.webhook-timestamp.body."
)
MAX_REASON_CHARS = 500
NOBODY = UUID(int=0)
PAUSED = "The endpoint is paused."
BAD_SIGNATURE = "No signature fits the endpoint's secret and the body."
OTHER_BODY = "Its body differs from the first delivery's; the first one counts."
# Refusals of what was not signed are counted in one row for this long.
COUNTED_TOGETHER = dt.timedelta(minutes=5)


def verify_delivery(*, tenant_slug: str, name: str, signed: SignedDelivery) -> Sender:
    """Return the endpoint whose secret has signed a delivery.

    Raises DeliveryRefused, in the same words whether the tenant or the endpoint exist, or the endpoint is
    paused.
    """
    fault = signing.find_fault(signed, time.time())
    tenant = _find_tenant(tenant_slug)
    if tenant is None:
        signing.is_signed(signed, _secrets_of(NOBODY, None))
        raise DeliveryRefused(fault or NO_SUCH_DOOR)
    with in_tenant(tenant):
        endpoint = Endpoint.objects.filter(name=name).first()
        fits = signing.is_signed(signed, _secrets_of(tenant.id, endpoint))
        reason = fault or ("" if fits else BAD_SIGNATURE)
        reason = reason or (PAUSED if endpoint and not endpoint.is_active else "")
        if endpoint and not reason:
            usage_kind = HookAction(endpoint.action).usage_kind
            return Sender(tenant=tenant, endpoint_id=endpoint.id, name=name, usage_kind=usage_kind)
        _count_refusal(endpoint, signed, reason)
    raise DeliveryRefused(fault or NO_SUCH_DOOR)


def receive_delivery(
    *, tenant: TenantRef, endpoint_id: UUID, webhook_id: str, body: bytes, is_test: bool = False
) -> HookAnswer:
    """Do what a verified delivery asks for, once for each `webhook_id`, and log it, in one transaction.

    A repeated delivery gets the first one's answer. One that is refused leaves its line in the log
    only. Raises InvalidInput, NotFoundError, NotAllowed, and ConflictError where no workflow listens.
    """
    require_active(tenant)
    refusal: DomainError | None = None
    with in_tenant(tenant):
        endpoint = Endpoint.objects.filter(id=endpoint_id).first()
        if endpoint is None:
            raise NotFoundError("There is no such webhook endpoint.")
        delivery = _delivery(endpoint_id, webhook_id, body, is_test=is_test)
        try:
            with transaction.atomic():  # what a refusal takes back
                return _take(tenant, endpoint, delivery, body)
        except DomainError as error:
            refusal = error
        delivery.status, delivery.led_to = DeliveryStatus.REFUSED.value, {}
        delivery.reason = _reason(refusal)
        delivery.save(force_insert=True)
    raise refusal


def send_test_delivery(
    *, tenant: TenantRef, endpoint_id: UUID, body: str, webhook_id: str, actor: str
) -> HookAnswer:
    """Sign a body as a sender does, and let it in by the way that a sender's delivery takes.

    Raises what `verify_delivery` and `receive_delivery` raise.
    """
    with in_tenant(tenant):
        endpoint = Endpoint.objects.filter(id=endpoint_id).first()
        if endpoint is None:
            raise NotFoundError("There is no such webhook endpoint.")
        record_audit(tenant=tenant, actor=actor, action="webhook.tested", target=endpoint.name)
        secret = unseal(endpoint.secret, tenant.id)
    now, raw = str(int(time.time())), body.encode()
    signature = signing.sign(secret, webhook_id, now, raw)
    signed = SignedDelivery(webhook_id=webhook_id, timestamp=now, signature=signature, body=raw)
    sender = verify_delivery(tenant_slug=tenant.slug, name=endpoint.name, signed=signed)
    return receive_delivery(
        tenant=sender.tenant, endpoint_id=sender.endpoint_id, webhook_id=webhook_id, body=raw, is_test=True
    )


def _find_tenant(slug: str) -> TenantRef | None:
    try:
        return get_tenant(slug=slug)
    except NotFoundError:
        return None


@lru_cache(maxsize=1024)
def _decoy(tenant_id: UUID) -> str:
    return seal(signing.new_secret(), tenant_id)


def _secrets_of(tenant_id: UUID, endpoint: Endpoint | None) -> list[str]:
    """Return two secrets, whatever there is: decoys cost the same work as what they stand for."""
    sealed = [endpoint.secret if endpoint else _decoy(tenant_id), _decoy(tenant_id)]
    if endpoint and endpoint.previous_until and endpoint.previous_until > timezone.now():
        sealed[1] = endpoint.previous_secret
    return [unseal(one, tenant_id) for one in sealed]


def _count_refusal(endpoint: Endpoint | None, signed: SignedDelivery, reason: str) -> None:
    since = timezone.now() - COUNTED_TOGETHER
    same = Delivery.objects.filter(
        endpoint_id=endpoint.id if endpoint else uuid4(),
        status=DeliveryStatus.REFUSED,
        is_verified=False,
        reason=reason,
        created_at__gte=since,
    )
    if not same.update(times=F("times") + 1, last_at=Now()) and endpoint:
        shown = "".join(c for c in signed.webhook_id[:255] if c.isprintable())
        delivery = _delivery(endpoint.id, shown, signed.body)
        delivery.status, delivery.reason, delivery.is_verified = DeliveryStatus.REFUSED.value, reason, False
        delivery.save(force_insert=True)


def _delivery(endpoint_id: UUID, webhook_id: str, body: bytes, *, is_test: bool = False) -> Delivery:
    return Delivery(
        endpoint_id=endpoint_id,
        webhook_id=webhook_id,
        status=DeliveryStatus.ACCEPTED.value,
        is_test=is_test,
        body_bytes=len(body),
        body_sha256=hashlib.sha256(body).hexdigest(),
    )


def _take(tenant: TenantRef, endpoint: Endpoint, delivery: Delivery, body: bytes) -> HookAnswer:
    try:
        with transaction.atomic():
            # Waits for the same delivery's other transaction, if there is one under way.
            delivery.save(force_insert=True)
    except IntegrityError:
        return _repeat(delivery)
    payload = payloads.read_json(body)
    if endpoint.action == HookAction.MESSAGE:
        delivery.led_to = _say(tenant, payload)
    else:
        delivery.led_to = {"runs": _start_all(tenant, endpoint, payload)}
    delivery.save(update_fields=["led_to"])
    return HookAnswer(delivery_id=delivery.id, led_to=delivery.led_to, is_new=True)


def _repeat(delivery: Delivery) -> HookAnswer:
    first = Delivery.objects.get(
        endpoint_id=delivery.endpoint_id, webhook_id=delivery.webhook_id, status=DeliveryStatus.ACCEPTED
    )
    delivery.id, delivery.status = uuid7(), DeliveryStatus.DUPLICATE.value
    delivery.led_to = first.led_to
    delivery.reason = OTHER_BODY if first.body_sha256 != delivery.body_sha256 else ""
    delivery.save(force_insert=True)
    return HookAnswer(delivery_id=first.id, led_to=first.led_to, is_new=False)


def _say(tenant: TenantRef, payload: dict[str, Any]) -> dict[str, Any]:
    text, client_message_id = payloads.read_said(payload)
    started = _start_conversation(
        tenant, payload, text, field="message.text", client_message_id=client_message_id
    )
    message, run_id = started.received.message, started.received.run_id
    return {
        "conversation": {"id": str(started.conversation.id)},
        "message": {"id": str(message.id), "seq": message.seq},
        "run": {"id": str(run_id)} if run_id else None,
    }


def _start_all(tenant: TenantRef, endpoint: Endpoint, payload: dict[str, Any]) -> list[dict[str, Any]]:
    listeners = list_hooked(tenant=tenant).get(endpoint.name, [])
    if not listeners:
        raise ConflictError(
            f"No published workflow listens to this endpoint; one with a trigger of type webhook and the "
            f'endpoint "/webhook/{endpoint.name}" would. Send the delivery again then.'
        )
    return [_start(tenant, definition, payload) for definition in listeners]


def _start(tenant: TenantRef, definition: WorkflowDefinition, payload: dict[str, Any]) -> dict[str, Any]:
    conversation_id: UUID | None = None
    if payloads.answers_messages(definition):
        text = payloads.read_text(payload)
        started = _start_conversation(tenant, payload, text, field="text", workflow=definition.name)
        run_id, conversation_id = started.received.run_id, started.conversation.id
    else:
        given = payloads.read_input(definition, payload)
        run_id = create_run(tenant=tenant, definition=definition, input=given).id
        hold_quota(tenant=tenant, kind=UsageKind.RUN, source_id=run_id)
    return {
        "id": str(run_id),
        "workflow": definition.name,
        "conversation": str(conversation_id) if conversation_id else None,
    }


def _start_conversation(
    tenant: TenantRef, payload: dict[str, Any], text: str, *, field: str, **options: Any
) -> StartedConversation:
    """Begin a conversation on the channel webhook; refusals name the body's own fields."""
    fields = {"text": field, "client_message_id": "message.client_message_id"}
    fields |= {name: f"customer.{name}" for name in payloads.CUSTOMER_FIELDS}
    customer = payloads.read_customer(payload)
    try:
        return start_conversation(
            tenant=tenant, channel=ChannelKind.WEBHOOK, text=text, customer=customer, **options
        )
    except InvalidInput as error:
        raise InvalidInput({fields.get(k, k): v for k, v in error.errors.items()}) from error


def _reason(error: DomainError) -> str:
    texts = [f"{name}: {' '.join(said)}" for name, said in error.errors.items()]
    return ("; ".join(texts) or error.detail)[:MAX_REASON_CHARS]
