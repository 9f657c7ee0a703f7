"""Every page of the dashboard with 1,000,000 messages, 100,000 conversations and 5,000,000 usage events.

The rows are made by SQL in a throw-away tenant; PAGES_SCALE=0.01 makes a hundredth of them.
"""

import logging
import os
import statistics
import time
import uuid
from collections.abc import Iterator
from typing import Any, TextIO

from django.contrib.auth import get_user_model
from django.db import connection, connections, models, transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from apps.analytics.models import ConversationFact, KpiBucket, ReadModelState
from apps.billing.models import UsageBucket, UsageEvent
from apps.conversations.models import Conversation, Escalation, Message
from apps.crm.models import Customer, Lead, Order
from apps.ingestion.models import Document
from apps.orchestration.definitions.models import WorkflowVersion
from apps.orchestration.models import AgentRun
from apps.routing.models import Intent, IntentExample, RouterTraining
from apps.tenants.context import OWNER, in_tenant
from apps.tenants.contracts import Role, TenantRef
from apps.tenants.models import AuditEvent
from apps.tenants.services import add_member, provision_tenant
from benchmarks.retrieval import _discard

SCALE = float(os.environ.get("PAGES_SCALE", "1"))
CONVERSATIONS, MESSAGES_EACH, USAGE = int(100_000 * SCALE), 10, int(5_000_000 * SCALE)
RUNS, ORDERS, CUSTOMERS, LEADS = (
    int(200_000 * SCALE),
    int(50_000 * SCALE),
    int(20_000 * SCALE),
    int(5_000 * SCALE),
)
REQUESTS, WARM = 30, 3
TARGET_MS, OVERVIEW_MS = 300, 200
DAYS = 180
WORKFLOW = "order_cancellation"
# Lists under filters that few rows fit, or that no index holds.
FILTERED = [
    f"app/router/decisions/?{query}"
    for query in (
        "intent=faq",
        "channel=email",
        "below=30",
        "below=90",
        "corrected=yes",
        "corrected=no&channel=api",
    )
]
BACKEND = "allauth.account.auth_backends.AuthenticationBackend"
BEGAN = f"now() - (n * interval '{DAYS} days' / {max(CONVERSATIONS, 1)})"


def run(stdout: TextIO) -> dict[str, Any]:
    """Fill a tenant, ask for every page, print what each took, and discard the tenant."""
    logging.disable(logging.WARNING)
    tenant = provision_tenant(slug=f"bench-{uuid.uuid4().hex[:10]}", name="Benchmark", plan="enterprise")
    try:
        started = time.perf_counter()
        _fill(tenant)
        stdout.write(f"filled in {time.perf_counter() - started:.0f} s\n")
        return _measure(tenant, stdout)
    finally:
        _discard(tenant)
        logging.disable(logging.NOTSET)


def _fill(tenant: TenantRef) -> None:
    run_id = f"md5('run' || n)::uuid"  # noqa: F541
    _insert(
        tenant,
        Customer,
        CUSTOMERS,
        name="'Customer ' || n",
        email="'c' || n || '@x.example'",
        external_id="n::text",
    )
    _insert(
        tenant,
        Order,
        ORDERS,
        number="n::text",
        total_cents="n",
        placed_at=BEGAN,
        customer_id=_id("Customer", CUSTOMERS),
    )
    _insert(tenant, Lead, LEADS, email="'l' || n || '@x.example'", effect_key="n::text")
    _insert(
        tenant,
        Document,
        500,
        title="'Article ' || n",
        kind="'text'",
        content_sha256="md5(n::text)",
        status="'ready'",
        queued_at="now()",
    )
    _insert(
        tenant,
        Conversation,
        CONVERSATIONS,
        channel="'widget'",
        customer_id=_id("Customer", CUSTOMERS),
        subject="'Where is my order ' || n || '?'",
        last_seq=str(MESSAGES_EACH),
        last_message_at=BEGAN,
        created_at=BEGAN,
        status="(ARRAY['open','closed','escalated'])[1 + n % 3]",
        epoch="gen_random_uuid()",
    )
    _insert(
        tenant,
        Message,
        CONVERSATIONS * MESSAGES_EACH,
        seq=f"1 + n % {MESSAGES_EACH}",
        conversation_id=f"md5('Conversation' || n / {MESSAGES_EACH})::uuid",
        run_id=run_id,
        author="(ARRAY['customer','ai'])[1 + n % 2]",
        text="'The parcel number ' || n || ' has not arrived yet'",
        receipt=(
            "CASE WHEN n % 2 = 1 THEN jsonb_build_object('intent', "
            "(ARRAY['order_status','faq','smalltalk'])[1 + n % 3], "
            "'confidence', (n % 100) / 100.0, 'knows', true) END"
        ),
    )
    _insert(tenant, RouterTraining, 1, requested_by="'owner@bench.example'")
    _insert(tenant, Intent, 4, name=f"(ARRAY['{WORKFLOW}','faq','order_status','smalltalk'])[1 + n]")
    _insert(
        tenant,
        IntentExample,
        5_000,
        intent_id=_id("Intent", 1),
        text="'Please cancel order ' || n",
        text_hash="md5(n::text)",
        origin="'written'",
    )
    _insert(
        tenant,
        Escalation,
        CONVERSATIONS // 100,
        conversation_id="md5('Conversation' || n * 3)::uuid",
        reason="'asked for a person'",
        queue="'default'",
    )
    _insert(
        tenant,
        AgentRun,
        RUNS,
        workflow_name=f"'{WORKFLOW}'",
        workflow_version="'1.0'",
        status="'completed'",
        workflow_hash=f"'{_hash(tenant)}'",
        due_at="NULL",
        created_at=BEGAN,
        id=run_id,
    )
    _insert(
        tenant,
        UsageEvent,
        USAGE,
        kind="(ARRAY['message','run','search'])[1 + n % 3]",
        quantity="1",
        source_id="n::text",
        occurred_at=f"now() - (n * interval '{DAYS} days' / {max(USAGE, 1)})",
    )
    _insert(
        tenant,
        AuditEvent,
        10_000,
        actor="'somebody'",
        action="'api_key.created'",
        occurred_at="now() - n * interval '1 hour'",
    )
    _fill_read_models(tenant)
    with connections[OWNER].cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")  # as autovacuum would have done on the way to so many rows


def _fill_read_models(tenant: TenantRef) -> None:
    bucket = "to_timestamp(floor(extract(epoch FROM {}) / 900) * 900)"
    _insert(tenant, ReadModelState, 1)
    _insert(
        tenant,
        ConversationFact,
        CONVERSATIONS,
        generation="1",
        conversation_id="md5('Conversation' || n)::uuid",
        started_at=BEGAN,
        channel="'widget'",
        is_ai_involved="true",
        outcome="'assumed'",
        first_response_ms="n % 5000",
        is_escalated="n % 10 = 0",
        counted="'{}'",
    )
    names = [
        "conversations",
        "messages",
        "ai_involved",
        "assumed",
        "confirmed",
        "questions",
        "gaps",
        "cost_microusd",
        "closed",
        "rated",
        "rated_good",
        "escalated",
        "reason:asked for a person",
        *(
            f"{kind}:{part}"
            for kind in ("first_response", "first_response_ai", "resolution")
            for part in ("count", "sum_ms", "le05", "le08")
        ),
    ]
    array = "ARRAY[" + ",".join(f"'{name}'" for name in names) + "]"
    with connections[OWNER].cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {KpiBucket._meta.db_table} (tenant_id, generation, starts_at, measure, amount) "
            f"SELECT %s, 1, {bucket.format('at')}, unnest({array}), 5 "
            f"FROM generate_series(now() - interval '{DAYS} days', now(), interval '15 minutes') AS at",
            [tenant.id],
        )
        cursor.execute(
            f"INSERT INTO {UsageBucket._meta.db_table} "
            "(id, created_at, tenant_id, kind, starts_at, quantity) "
            "SELECT gen_random_uuid(), now(), tenant_id, kind, "
            f"{bucket.format('occurred_at')}, sum(quantity) "
            f"FROM {UsageEvent._meta.db_table} WHERE tenant_id = %s GROUP BY tenant_id, kind, 5",
            [tenant.id],
        )


def _id(model: str, total: int) -> str:
    return f"md5('{model}' || n % {max(total, 1)})::uuid"


def _hash(tenant: TenantRef) -> str:
    with in_tenant(tenant):
        return WorkflowVersion.objects.filter(workflow__name=WORKFLOW).get().hash


def _insert(tenant: TenantRef, model: type[models.Model], total: int, **expressions: str) -> None:
    """Insert rows numbered n from 0; every column gets its expression, else the field's default."""
    fields = [f for f in model._meta.concrete_fields if f.column and not f.generated]
    given = {"id": f"md5('{model.__name__}' || n)::uuid", "created_at": "now()", **expressions}
    parameters: list[Any] = []
    values = []
    for field in fields:
        if field.column == "tenant_id":
            values.append("%s")
            parameters.append(tenant.id)
        elif isinstance(field, models.DateTimeField) and field.column not in given and not field.null:
            values.append("now()")
        elif field.column in given:
            values.append(given[field.column].replace("%", "%%"))
        else:
            values.append("%s")
            default = field.get_db_prep_save(field.get_default(), connection) if field.has_default() else None
            parameters.append("" if default is None and not field.null else default)
    columns = ", ".join(f'"{field.column}"' for field in fields)
    is_public = model._meta.app_config.name in {
        "apps.billing",
        "apps.orchestration",
        "apps.analytics",
        "apps.tenants",
    }
    table = f'"{"public" if is_public else tenant.schema}"."{model._meta.db_table}"'
    with transaction.atomic(using=OWNER), connections[OWNER].cursor() as cursor:
        cursor.execute(f'SET LOCAL search_path TO "{tenant.schema}", public')
        cursor.execute(
            f"INSERT INTO {table} ({columns}) SELECT {', '.join(values)} "
            f"FROM generate_series(0, {total - 1}) AS n",
            parameters,
        )


def _measure(tenant: TenantRef, stdout: TextIO) -> dict[str, Any]:
    add_member(tenant=tenant, email="owner@bench.example", role=Role.OWNER, name="Owner")
    client = Client(headers={"Accept": "text/html"})
    client.force_login(get_user_model().objects.get(email="owner@bench.example"), backend=BACKEND)
    session = client.session
    session["tenant"] = tenant.slug
    session.save()
    results: dict[str, Any] = {}
    stdout.write(f"{'page':<52}{'p50 ms':>9}{'p95 ms':>9}\n")
    for route, url in _addresses(tenant):
        found = _time(client, url)
        if found is None:
            continue
        p50, p95 = found
        limit = OVERVIEW_MS if url == "/app/" else TARGET_MS
        stdout.write(f"{route:<52}{p50:>9.1f}{p95:>9.1f}{'  SLOW' if p95 > limit else ''}\n")
        stdout.flush()
        results[route] = {"p50_ms": round(p50, 1), "p95_ms": round(p95, 1)}
    results["worst_p95_ms"] = max(page["p95_ms"] for page in results.values())
    return results


def _time(client: Client, url: str) -> tuple[float, float] | None:
    """Return p50 and p95 in milliseconds; None for what is no page."""
    answer = client.get(url)
    if answer.status_code == 405 or "text/html" not in answer.headers.get("Content-Type", ""):
        return None
    if answer.status_code != 200:
        raise RuntimeError(f"{url} answered {answer.status_code}")
    timings = []
    for _ in range(WARM + REQUESTS):
        started = time.perf_counter()
        client.get(url)
        timings.append((time.perf_counter() - started) * 1000)
    timings = timings[WARM:]
    return statistics.median(timings), statistics.quantiles(timings, n=20)[-1]


def _addresses(tenant: TenantRef) -> Iterator[tuple[str, str]]:
    """Yield each page of /app/ with the id of something that is there."""
    known = {
        "conversation_id": "md5('Conversation7')",
        "customer_id": "md5('Customer7')",
        "order_id": "md5('Order7')",
        "lead_id": "md5('Lead7')",
        "document_id": "md5('Document7')",
        "run_id": "md5('run7')",
        "training_id": "md5('RouterTraining0')",
        "example_id": "md5('IntentExample7')",
    }
    with connections[OWNER].cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(f'{value}::uuid' for value in known.values())}")
        ids = dict(zip(known, cursor.fetchone(), strict=True))
    others = {"name": WORKFLOW, "key": "conversations"}
    for route in sorted(_routes(get_resolver().url_patterns)):
        names = [
            part.split(":")[-1].rstrip(">") for part in route.split("<")[1:] for part in [part.split(">")[0]]
        ]
        if route.startswith("app/") and all(name in ids or name in others for name in names):
            url = route
            for name in names:
                for kind in ("uuid:", "str:", "slug:", ""):
                    url = url.replace(f"<{kind}{name}>", str(ids.get(name) or others[name]))
            yield f"/{route}", f"/{url}"
    for url in FILTERED:
        yield f"/{url}", f"/{url}"


def _routes(entries: list[Any], prefix: str = "") -> Iterator[str]:
    for entry in entries:
        route = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from _routes(entry.url_patterns, route)
        elif isinstance(entry, URLPattern):
            yield route
