"""Forget who looks at a customer's conversations."""

from redis.exceptions import RedisError

from apps.realtime.presence import forget_conversation
from apps.tenants.contracts import Erased, Subject, TenantRef


def erase_traces(*, tenant: TenantRef, subject: Subject) -> Erased:
    """Delete what Valkey holds of the conversations; while it is away that expires within seconds."""
    total = 0
    try:
        for conversation_id in subject.conversation_ids:
            total += forget_conversation(tenant_id=tenant.id, conversation_id=conversation_id)
    except RedisError:
        return Erased()
    return Erased({"valkey": total})
