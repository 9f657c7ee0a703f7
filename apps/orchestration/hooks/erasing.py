"""Forget what deliveries of webhooks led to."""

from django.db import connection

from apps.tenants.contracts import Erased, Subject, TenantRef

RULES = {
    "hooks.Endpoint": "kept: settings of the company",
    "hooks.Delivery": "emptied",
}
# A delivery keeps no body; what is left is the sender's id of it, so that a repetition still starts nothing.
EMPTY = """
UPDATE hooks_delivery SET led_to = '{}'::jsonb, reason = ''
WHERE led_to -> 'conversation' ->> 'id' = ANY(%(conversations)s) OR led_to -> 'run' ->> 'id' = ANY(%(runs)s)
   OR EXISTS (SELECT FROM jsonb_array_elements(led_to -> 'runs') AS run
              WHERE run ->> 'id' = ANY(%(runs)s) OR run ->> 'conversation' = ANY(%(conversations)s))
   OR reason ILIKE ANY(%(identifiers)s)
"""


def erase_traces(*, tenant: TenantRef, subject: Subject) -> Erased:
    """Empty the deliveries in the caller's transaction."""
    given = {
        "conversations": [str(one) for one in subject.conversation_ids],
        "runs": [str(one) for one in subject.run_ids],
        "identifiers": [f"%{_literally(one)}%" for one in subject.identifiers],
    }
    with connection.cursor() as cursor:
        cursor.execute(EMPTY, given)
        return Erased({"hooks.Delivery": cursor.rowcount})


def _literally(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
