"""Forget what tenants' own systems were told of a customer."""

from django.db import connection

from apps.tenants.contracts import Erased, Subject, TenantRef

RULES = {
    "webhooks.WebhookEndpoint": "kept: settings of the company",
    "webhooks.WebhookDelivery": "erased",
    "webhooks.WebhookAttempt": "erased",
}
ABOUT = """
SELECT d.id FROM webhooks_webhookdelivery d WHERE d.body ILIKE ANY(%(marks)s) OR EXISTS (
  SELECT FROM webhooks_webhookattempt a WHERE a.delivery_id = d.id
  AND (a.response_body ILIKE ANY(%(marks)s) OR a.error ILIKE ANY(%(marks)s)))
"""
AT_ONCE = 200


def erase_traces(*, tenant: TenantRef, subject: Subject) -> Erased:
    """Delete the deliveries with their attempts, in the caller's transaction; what waits is not sent."""
    ids = [subject.customer_id, *subject.conversation_ids, *subject.run_ids]
    marks = [*map(str, ids), *(_literally(one) for one in subject.identifiers)]
    deliveries = attempts = 0
    with connection.cursor() as cursor:
        for first in range(0, len(marks), AT_ONCE):
            given = {"marks": [f"%{mark}%" for mark in marks[first : first + AT_ONCE]]}
            cursor.execute(ABOUT, given)
            found = {"ids": [row[0] for row in cursor.fetchall()]}
            cursor.execute("DELETE FROM webhooks_webhookattempt WHERE delivery_id = ANY(%(ids)s)", found)
            attempts += cursor.rowcount
            cursor.execute("DELETE FROM webhooks_webhookdelivery WHERE id = ANY(%(ids)s)", found)
            deliveries += cursor.rowcount
    return Erased({"webhooks.WebhookDelivery": deliveries, "webhooks.WebhookAttempt": attempts})


def _literally(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
