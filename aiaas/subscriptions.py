"""Who hears what: the one table from event types to handlers."""

from apps.events.contracts import Consumer, stream_of
from apps.orchestration.definitions.language.triggers import STARTING_EVENTS
from apps.tenants.contracts import Eraser
from apps.webhooks.catalog import BY_TYPE

# Called in the writer's own transaction, in this order: an exception undoes the writer's work.
IN_TRANSACTION: dict[str, list[str]] = {
    "agent.tenant.provisioned": [
        "apps.billing.handlers.on_tenant_provisioned",
        "apps.orchestration.handlers.on_tenant_provisioned",
    ],
    "agent.document.accepted": ["apps.billing.handlers.on_document_accepted"],
    "agent.document.indexed": ["apps.billing.handlers.on_document_indexed"],
    "agent.document.failed": ["apps.billing.handlers.on_document_dropped"],
    "agent.document.deleted": ["apps.billing.handlers.on_document_dropped"],
    "agent.knowledge.searched": ["apps.billing.handlers.on_knowledge_searched"],
    "agent.message.received": [
        "apps.orchestration.handlers.on_message_received",
        "apps.realtime.handlers.on_message_stored",
        "apps.realtime.handlers.on_words_between_people",
    ],
    "agent.route.decided": ["apps.orchestration.handlers.on_route_decided"],
    "agent.message.sent": [
        "apps.realtime.handlers.on_message_stored",
        "apps.realtime.handlers.on_words_between_people",
    ],
    "agent.conversation.reopened": ["apps.realtime.handlers.on_state_changed"],
    "agent.conversation.taken_over": [
        "apps.realtime.handlers.on_state_changed",
        "apps.realtime.handlers.on_inbox_changed",
    ],
    "agent.conversation.released": [
        "apps.realtime.handlers.on_state_changed",
        "apps.realtime.handlers.on_inbox_changed",
    ],
    "agent.conversation.closed": [
        "apps.realtime.handlers.on_state_changed",
        "apps.realtime.handlers.on_inbox_changed",
    ],
    "agent.escalation.opened": [
        "apps.realtime.handlers.on_state_changed",
        "apps.realtime.handlers.on_inbox_changed",
    ],
    "agent.escalation.resolved": [
        "apps.realtime.handlers.on_state_changed",
        "apps.realtime.handlers.on_inbox_changed",
    ],
    "agent.escalation.cancelled": [
        "apps.realtime.handlers.on_state_changed",
        "apps.realtime.handlers.on_inbox_changed",
    ],
    "agent.escalation.claimed": ["apps.realtime.handlers.on_inbox_changed"],
    "agent.escalation.reopened": ["apps.realtime.handlers.on_inbox_changed"],
    "agent.note.added": ["apps.realtime.handlers.on_inbox_changed"],
}

# Fed by JetStream; each handler runs in the tenant's transaction, together with its inbox row.
CONSUMERS: list[Consumer] = [
    Consumer(
        name="usage_projection",
        stream="BILLING_EVENTS",
        subjects=("billing.usage.recorded",),
        handler="apps.billing.handlers.on_usage_recorded",
    ),
    Consumer(
        name="analytics",
        stream="AGENT_EVENTS",
        subjects=(
            "agent.message.received",
            "agent.message.sent",
            "agent.run.completed",
            "agent.escalation.opened",
            "agent.conversation.closed",
            "agent.conversation.reopened",
            "agent.conversation.rated",
            "agent.conversation.taken_over",
            "agent.escalation.claimed",
            "agent.escalation.resolved",
        ),
        handler="apps.analytics.handlers.on_events",
        takes_many=True,
    ),
    Consumer(
        name="unanswered_questions",
        stream="AGENT_EVENTS",
        subjects=("agent.message.received", "agent.run.completed"),
        handler="apps.ingestion.handlers.on_conversation_events",
        takes_many=True,
    ),
    Consumer(
        name="workflow_triggers",
        stream="AGENT_EVENTS",
        subjects=STARTING_EVENTS,
        handler="apps.orchestration.handlers.on_starting_event",
    ),
    *(
        Consumer(
            name=f"webhooks_{stream.split('_')[0].lower()}",
            stream=stream,
            subjects=tuple(name for name in BY_TYPE if stream_of(name) == stream),
            handler="apps.webhooks.handlers.on_events",
            takes_many=True,
        )
        for stream in ("AGENT_EVENTS", "BILLING_EVENTS")
    ),
]

# How a customer is forgotten, step by step: what leads to others first, the customer's own row last.
ERASERS: list[Eraser] = [
    Eraser("apps.conversations.erasing.erase_traces"),
    Eraser("apps.orchestration.erasing.erase_traces"),
    Eraser("apps.orchestration.hooks.erasing.erase_traces"),
    Eraser("apps.orchestration.rehearsals.erasing.erase_traces"),
    Eraser("apps.gateway.erasing.erase_traces"),
    Eraser("apps.tenants.erasing.events.empty_events"),
    Eraser("apps.tenants.erasing.events.forget_in_streams", in_transaction=False),
    Eraser("apps.webhooks.erasing.erase_traces"),  # after the events that make deliveries
    Eraser("apps.ingestion.erasing.erase_traces"),
    Eraser("apps.analytics.erasing.erase_traces"),
    Eraser("apps.realtime.erasing.erase_traces", in_transaction=False),
    Eraser("apps.tenants.erasing.events.remove_archives", in_transaction=False),
    Eraser("apps.crm.erasing.erase_traces"),
]

# What becomes of every model's rows then; a test demands a line for each.
ERASURE_RULES = [
    "apps.accounts.erasing.RULES",
    "apps.analytics.erasing.RULES",
    "apps.billing.erasing.RULES",
    "apps.conversations.erasing.RULES",
    "apps.crm.erasing.RULES",
    "apps.events.erasing.services.RULES",
    "apps.gateway.erasing.RULES",
    "apps.ingestion.erasing.RULES",
    "apps.orchestration.definitions.erasing.RULES",
    "apps.orchestration.erasing.RULES",
    "apps.orchestration.hooks.erasing.RULES",
    "apps.orchestration.mcp.erasing.RULES",
    "apps.orchestration.notices.erasing.RULES",
    "apps.orchestration.rehearsals.erasing.RULES",
    "apps.routing.services.forgetting.RULES",
    "apps.tenants.erasing.rules.RULES",
    "apps.webhooks.erasing.RULES",
]
