"""What a company has after half a year: all of it proportional to `scale`."""

from typing import Any

from django.db import connections, models

from apps.billing.models import UsageBucket, UsageEvent
from apps.conversations.models import CannedReply, Conversation, Escalation, Message, Note
from apps.crm.models import Customer, Lead, Order
from apps.ingestion.models import Chunk, Document, QuestionGroup
from apps.orchestration.definitions.models import WorkflowVersion
from apps.orchestration.models import AgentRun
from apps.routing.models import Intent, IntentExample, RouterTraining
from apps.tenants.context import OWNER, in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.models import AuditEvent
from benchmarks.pages.inserting import id_of, insert
from benchmarks.pages.sampling import BUCKET, fill_read_models

ROW = 7  # the one of each that pages are asked for
WORKFLOW = "order_cancellation"
DAYS = 180
CONVERSATIONS, MESSAGES_EACH, USAGE_EVENTS = 100_000, 10, 5_000_000
CUSTOMERS, ORDERS, LEADS, RUNS = 20_000, 50_000, 5_000, 200_000
DOCUMENTS, CHUNKS_EACH, QUESTIONS, AUDIT_EVENTS = 500, 10, 2_000, 10_000
VECTOR = "(SELECT array_agg(sin(n * 12.9898 + i * 78.233))::vector FROM generate_series(1, 384) AS i)"
RECEIPT = (
    "CASE WHEN n % 2 = 1 THEN jsonb_build_object('intent', "
    "(ARRAY['order_status','faq','smalltalk'])[1 + n % 3], "
    "'confidence', (n % 100) / 100.0, 'knows', true) END"
)
INTENTS, EXAMPLES = ("faq", "order_status", "smalltalk", "complaint"), 5_000
Rows = tuple[type[models.Model], int, dict[str, str]]


def fill(tenant: TenantRef, *, scale: float) -> None:
    """Insert everything and have PostgreSQL count it, as autovacuum would have done on the way."""

    def part(total: int) -> int:
        return max(int(total * scale), 2 * ROW)

    tables = [*_business(part), *_knowledge(part), *_talk(part), *_router(), *_work(part, _hash(tenant))]
    for model, total, expressions in tables:
        insert(tenant, model, total, **expressions)
    fill_read_models(tenant, part(CONVERSATIONS), _ago(part(CONVERSATIONS)))
    _fill_usage_buckets(tenant)
    with connections[OWNER].cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def _hash(tenant: TenantRef) -> str:
    with in_tenant(tenant):
        return WorkflowVersion.objects.filter(workflow__name=WORKFLOW).get().hash


def _ago(total: int) -> str:
    return f"now() - n * interval '{DAYS} days' / {total}"


def _one_of(*values: str) -> str:
    return f"(ARRAY[{', '.join(repr(value) for value in values)}])[1 + n % {len(values)}]"


def _business(part: Any) -> list[Rows]:
    customer = id_of(Customer, f"n % {part(CUSTOMERS)}")
    person = {"name": "'Customer ' || n", "email": "'c' || n || '@x.example'", "external_id": "n::text"}
    order = {
        "number": "n::text",
        "total_cents": "n",
        "placed_at": _ago(part(ORDERS)),
        "customer_id": customer,
    }
    return [
        (Customer, part(CUSTOMERS), person),
        (Order, part(ORDERS), order),
        (Lead, part(LEADS), {"email": "'l' || n || '@x.example'", "effect_key": "n::text"}),
    ]


def _knowledge(part: Any) -> list[Rows]:
    document = {
        "title": "'Article ' || n",
        "kind": "'text'",
        "content_sha256": "md5(n::text)",
        "status": "'ready'",
        "title_vector": VECTOR,
        "chunk_count": str(CHUNKS_EACH),
    }
    chunk = {
        "document_id": id_of(Document, f"n / {CHUNKS_EACH}"),
        "position": f"n % {CHUNKS_EACH}",
        "text": "'The parcel ' || n || ' may be returned within thirty days.'",
        "terms": "to_tsvector('simple', 'the parcel ' || n || ' may be returned within thirty days')",
        "token_count": "12",
        "vector": VECTOR,
    }
    question = {
        "text": "'Where is parcel ' || n || '?'",
        "vector": VECTOR,
        "count": "1 + n % 50",
        "last_asked_at": _ago(part(QUESTIONS)),
    }
    return [
        (Document, part(DOCUMENTS), document),
        (Chunk, part(DOCUMENTS) * CHUNKS_EACH, chunk),
        (QuestionGroup, part(QUESTIONS), question),
    ]


def _talk(part: Any) -> list[Rows]:
    total = part(CONVERSATIONS)
    conversation = {
        "channel": _one_of("widget", "api", "email"),
        "customer_id": id_of(Customer, f"n % {part(CUSTOMERS)}"),
        "subject": "'Where is my order ' || n || '?'",
        "last_seq": str(MESSAGES_EACH),
        "last_message_at": _ago(total),
        "created_at": _ago(total),
        "status": _one_of("open", "closed", "escalated"),
        "epoch": "gen_random_uuid()",
    }
    message = {
        "seq": f"1 + n % {MESSAGES_EACH}",
        "conversation_id": id_of(Conversation, f"n / {MESSAGES_EACH}"),
        "run_id": id_of(AgentRun, "n"),
        "author": _one_of("customer", "ai"),
        "text": "'The parcel number ' || n || ' has not arrived yet'",
        "receipt": RECEIPT,
    }
    escalation = {
        "conversation_id": id_of(Conversation, "n * 3"),
        "reason": "'asked for a person'",
        "queue": "'default'",
    }
    note = {
        "conversation_id": id_of(Conversation, "n * 3"),
        "author": "'user:1'",
        "text": "'Asked the carrier'",
    }
    return [
        (Conversation, total, conversation),
        (Message, total * MESSAGES_EACH, message),
        (Escalation, max(total // 100, 8), escalation),
        (Note, max(total // 100, 8), note),
        (CannedReply, 40, {"shortcut": "'reply' || n", "text": "'Thank you for your patience.'"}),
    ]


def _router() -> list[Rows]:
    example = {
        "intent_id": id_of(Intent, "0"),
        "text": "'Please cancel order ' || n",
        "text_hash": "md5(n::text)",
        "origin": "'written'",
    }
    return [
        (RouterTraining, 1, {"requested_by": "'owner@bench.example'"}),
        (Intent, len(INTENTS), {"name": _one_of(*INTENTS)}),
        (IntentExample, EXAMPLES, example),
    ]


def _work(part: Any, workflow_hash: str) -> list[Rows]:
    agent_run = {
        "workflow_name": f"'{WORKFLOW}'",
        "workflow_version": "'1.0'",
        "workflow_hash": f"'{workflow_hash}'",
        "status": "'completed'",
        "due_at": "NULL",
        "created_at": _ago(part(RUNS)),
    }
    usage = {
        "kind": _one_of("message", "run", "search"),
        "quantity": "1",
        "source_id": "n::text",
        "occurred_at": _ago(part(USAGE_EVENTS)),
    }
    audit = {
        "actor": "'somebody'",
        "action": "'api_key.created'",
        "occurred_at": "now() - n * interval '1 hour'",
    }
    return [
        (AgentRun, part(RUNS), agent_run),
        (UsageEvent, part(USAGE_EVENTS), usage),
        (AuditEvent, part(AUDIT_EVENTS), audit),
    ]


def _fill_usage_buckets(tenant: TenantRef) -> None:
    with connections[OWNER].cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {UsageBucket._meta.db_table} "
            "(id, created_at, tenant_id, kind, starts_at, quantity) "
            "SELECT gen_random_uuid(), now(), tenant_id, kind, "
            f"{BUCKET.format('occurred_at')}, sum(quantity) "
            f"FROM {UsageEvent._meta.db_table} WHERE tenant_id = %s GROUP BY tenant_id, kind, 5",
            [tenant.id],
        )
