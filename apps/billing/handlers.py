"""Project usage events into the usage read model, and give a new tenant its plan."""

from datetime import datetime
from uuid import UUID

import orjson
from django.db import connection, transaction
from uuid_utils.compat import uuid7

from apps.billing.contracts import TRIAL, UsageKind
from apps.billing.metrics import BILLING_USAGE
from apps.billing.periods import bucket_start
from apps.billing.services import (
    hold_quota,
    record_usage,
    release_quota,
    start_trial,
    subscribe_tenant,
)
from apps.billing.services.alerts import note_usage
from apps.billing.sums import lock_usage
from apps.events.contracts import DomainEvent, Envelope
from apps.tenants.context import current_tenant
from apps.tenants.events import TenantProvisioned

# One statement, so that a repeated event can never reach its bucket: no fresh row, nothing added.
# Whoever closes a period holds the lock alone, so the account read here says which periods are cut off.
PROJECT_SQL = """
WITH account AS (
  SELECT max(open_from) AS open_from, max(stored_until) AS stored_until FROM billing_billingaccount
  WHERE tenant_id = %(tenant_id)s
), fresh AS (
  INSERT INTO billing_usageevent
    (id, kind, quantity, source_id, run_id, conversation_id, occurred_at, is_late, detail, created_at)
  SELECT %(id)s, %(kind)s, %(quantity)s, %(source_id)s, %(run_id)s, %(conversation_id)s,
         %(occurred_at)s, coalesce(%(occurred_at)s < open_from, false), %(detail)s::jsonb,
         greatest(clock_timestamp(), stored_until + interval '1 microsecond')
  FROM account
  ON CONFLICT (id) DO NOTHING
  RETURNING kind, quantity
)
INSERT INTO billing_usagebucket (id, kind, starts_at, quantity, created_at)
SELECT %(bucket_id)s, kind, %(starts_at)s, quantity, statement_timestamp() FROM fresh
ON CONFLICT (tenant_id, kind, starts_at)
DO UPDATE SET quantity = billing_usagebucket.quantity + EXCLUDED.quantity
"""


def on_tenant_provisioned(event: TenantProvisioned) -> None:
    """Put a new tenant on the plan that it was made with."""
    tenant = current_tenant()
    assert tenant is not None
    if event.plan == TRIAL:
        start_trial(tenant=tenant)
    else:
        subscribe_tenant(tenant=tenant, plan_code=event.plan)


def on_document_accepted(event: DomainEvent) -> None:
    """Hold a document's place in the quota until it is findable or given up; raises QuotaSpent."""
    tenant = current_tenant()
    assert tenant is not None
    hold_quota(tenant=tenant, kind=UsageKind.DOCUMENT, source_id=str(event.data()["document_id"]))


def on_document_indexed(event: DomainEvent) -> None:
    """Meter a document's new version, in the transaction that made it findable."""
    tenant, fact = current_tenant(), event.data()
    assert tenant is not None
    document_id = str(fact["document_id"])
    source = f"{document_id}:{fact['revision']}"
    record_usage(tenant=tenant, kind=UsageKind.DOCUMENT, quantity=1, source_id=source, settles=document_id)


def on_document_dropped(event: DomainEvent) -> None:
    """Give back what was held for a document that could not be read or was deleted before it was."""
    tenant = current_tenant()
    assert tenant is not None
    release_quota(tenant=tenant, kind=UsageKind.DOCUMENT, source_ids=[str(event.data()["document_id"])])


def on_knowledge_searched(event: DomainEvent) -> None:
    """Meter a search over the API."""
    tenant = current_tenant()
    assert tenant is not None
    source = str(event.data()["search_id"])
    record_usage(tenant=tenant, kind=UsageKind.SEARCH, quantity=1, source_id=source)


def on_usage_recorded(envelope: Envelope) -> None:
    """Count a usage event once, however often it is delivered; runs in the tenant's transaction.

    Raises ValueError or KeyError for an event that is not a usage event: it ends as a dead letter.
    """
    data = envelope.data
    kind, quantity = UsageKind(data["kind"]).value, int(data["quantity"])
    if quantity <= 0:
        raise ValueError(f"usage must be positive: {quantity}")
    lock_usage(envelope.tenant_id, shared=True)
    with connection.cursor() as cursor:
        cursor.execute(PROJECT_SQL, _parameters(envelope, kind, quantity))
        is_fresh = cursor.rowcount > 0
    if is_fresh:
        count = BILLING_USAGE.labels(str(envelope.tenant_id), str(data.get("service", "aiaas")), kind).inc
        transaction.on_commit(lambda: count(quantity))
        tenant = current_tenant()
        assert tenant is not None
        note_usage(tenant=tenant, kind=kind, quantity=quantity)


def _parameters(
    envelope: Envelope, kind: str, quantity: int
) -> dict[str, str | int | UUID | datetime | None]:
    return {
        "id": envelope.id,
        "tenant_id": envelope.tenant_id,
        "kind": kind,
        "quantity": quantity,
        "source_id": str(envelope.data["source_id"]),
        "run_id": envelope.run_id,
        "conversation_id": envelope.conversation_id,
        "occurred_at": envelope.occurred_at,
        "detail": orjson.dumps(envelope.data.get("detail") or {}).decode(),
        "bucket_id": uuid7(),
        "starts_at": bucket_start(envelope.occurred_at),
    }
