"""Forget remembered answers of the API that show a customer."""

from django.db import connection

from apps.tenants.contracts import Erased, Subject, TenantRef

RULES = {
    "gateway.IdempotencyRecord": "emptied",
    "gateway.TokenFamily": "kept: log-ins of the company's people",
}
EMPTY = """
UPDATE gateway_idempotencyrecord SET body = NULL, headers = '{}'::jsonb
WHERE body IS NOT NULL AND convert_from(body, 'UTF8') ILIKE ANY(%s)
"""
AT_ONCE = 200


def erase_traces(*, tenant: TenantRef, subject: Subject) -> Erased:
    """Empty the answers in the caller's transaction; a repeated write still does nothing."""
    ids = [subject.customer_id, *subject.conversation_ids, *subject.run_ids]
    marks = [*map(str, ids), *(_literally(one) for one in subject.identifiers)]
    total = 0
    with connection.cursor() as cursor:
        for first in range(0, len(marks), AT_ONCE):
            cursor.execute(EMPTY, [[f"%{mark}%" for mark in marks[first : first + AT_ONCE]]])
            total += cursor.rowcount
    return Erased({"gateway.IdempotencyRecord": total})


def _literally(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
