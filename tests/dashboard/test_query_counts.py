"""Every page asks the database the same number of times, for one thing of each list and for thirty.

The pages are found by walking the URLs; a new one must add its line to QUERIES.
"""

import datetime as dt
import uuid
from collections.abc import Callable

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.billing.services import begin_billing_on, finalise_invoices
from apps.conversations import services as conversations
from apps.conversations.models import Escalation
from apps.crm.services import create_order
from apps.ingestion.models import Chunk, Question
from apps.orchestration.definitions.services import save_draft
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.webhooks.services import send_test
from tests.billing.generated import deliver, usage
from tests.isolation.test_pages import MAKERS, PAGES, address
from tests.isolation.test_urls import WORKFLOW, add_cases
from tests.pages import log_in

MANY = 30
YEAR, MONTH = dt.timedelta(days=365), dt.timedelta(days=31)
QUERIES: dict[str, int] = {
    "app/": 14,
    "app/api-keys/": 7,
    "app/api-keys/<str:key_id>/rotate/": 6,
    "app/audit/": 7,
    "app/channels/": 7,
    "app/channels/outgoing/": 7,
    "app/channels/outgoing/<uuid:endpoint_id>/": 8,
    "app/channels/outgoing/<uuid:endpoint_id>/edit/": 7,
    "app/channels/outgoing/deliveries/<uuid:delivery_id>/": 8,
    "app/channels/webhooks/": 9,
    "app/channels/webhooks/<uuid:endpoint_id>/": 9,
    "app/channels/widgets/<str:key>/": 6,
    "app/channels/widgets/<str:key>/forms/": 6,
    "app/channels/widgets/<str:key>/general/": 6,
    "app/channels/widgets/<str:key>/hours/": 6,
    "app/channels/widgets/<str:key>/install/": 6,
    "app/channels/widgets/<str:key>/limits/": 6,
    "app/channels/widgets/<str:key>/texts/": 6,
    "app/conversations/": 8,
    "app/conversations/<uuid:conversation_id>/": 10,
    "app/customers/": 6,
    "app/customers/<uuid:customer_id>/": 9,
    "app/customers/<uuid:customer_id>/conversations/": 8,
    "app/customers/<uuid:customer_id>/edit/": 6,
    "app/customers/<uuid:customer_id>/erase/": 7,
    "app/customers/import/": 5,
    "app/customers/new/": 5,
    "app/exports/": 6,
    "app/first-steps/": 11,
    "app/inbox/": 7,
    "app/inbox/<uuid:escalation_id>/": 13,
    "app/inbox/<uuid:escalation_id>/news/": 10,
    "app/inbox/canned/": 6,
    "app/inbox/canned/<uuid:reply_id>/": 6,
    "app/invoices/": 14,
    "app/invoices/<uuid:invoice_id>/": 7,
    "app/knowledge/": 6,
    "app/knowledge/add/address/": 5,
    "app/knowledge/add/article/": 5,
    "app/knowledge/documents/<uuid:document_id>/": 7,
    "app/knowledge/questions/": 6,
    "app/knowledge/questions/<uuid:group_id>/": 7,
    "app/knowledge/search/": 5,
    "app/leads/": 6,
    "app/leads/<uuid:lead_id>/": 6,
    "app/leads/import/": 5,
    "app/leads/new/": 5,
    "app/orders/": 6,
    "app/orders/<uuid:order_id>/": 7,
    "app/orders/import/": 5,
    "app/orders/new/": 5,
    "app/overview/<str:key>/": 10,
    "app/plans/": 11,
    "app/plans/<slug:code>/": 16,
    "app/profile/": 6,
    "app/reports/": 13,
    "app/router/": 11,
    "app/router/decisions/": 11,
    "app/router/examples/<uuid:example_id>/": 7,
    "app/router/intents/": 7,
    "app/router/intents/<slug:name>/": 8,
    "app/router/intents/<slug:name>/edit/": 6,
    "app/router/trainings/<uuid:training_id>/": 6,
    "app/runs/": 8,
    "app/runs/<uuid:run_id>/": 12,
    "app/runs/<uuid:run_id>/replay/": 7,
    "app/runs/<uuid:run_id>/retry-from/": 9,
    "app/runs/<uuid:run_id>/undo-from/": 9,
    "app/runs/bulk/<uuid:operation_id>/": 6,
    "app/runs/bulk/new/": 5,
    "app/runs/<uuid:run_id>/cancel/": 7,
    "app/runs/<uuid:run_id>/compensate/": 7,
    "app/settings/": 6,
    "app/settings/delete/": 7,
    "app/settings/domains/": 6,
    "app/simulations/<uuid:rehearsal_id>/": 9,
    "app/simulations/<uuid:rehearsal_id>/cases/<int:number>/": 9,
    "app/team/": 7,
    "app/try/": 6,
    "app/usage/": 14,
    "app/workflows/": 7,
    "app/tools/": 8,
    "app/tools/mcp/<uuid:server_id>/": 7,
    "app/tools/t/<str:name>/": 6,
    "app/workflows/gate/": 6,
    "app/workflows/new/": 6,
    "app/workflows/w/<str:name>/": 11,
    "app/workflows/w/<str:name>/gate/": 8,
    "app/workflows/w/<str:name>/publishing/": 13,
    "app/workflows/w/<str:name>/simulate/": 7,
    "app/workflows/w/<str:name>/versions/": 8,
}
# What shows no page of its own: a file, a doorway of a socket.
NO_PAGES = {
    "app/audit/export/",
    "app/conversations/<uuid:conversation_id>/export/",
    "app/conversations/export/",
    "app/customers/export/",
    "app/exports/<uuid:export_id>/",
    "app/inbox/ticket/",
    "app/invoices/<uuid:invoice_id>.pdf",
    "app/leads/export/",
    "app/orders/export/",
    "app/reports/export/",
    "app/usage/export/",
}


def make_invoices(tenant: TenantRef, *, until: dt.datetime) -> uuid.UUID | None:
    """Finalise what is due until then, a month at a time from a year ago."""
    return next(iter(finalise_invoices(tenant=tenant, now=until)), None)


def make_workflow(tenant: TenantRef) -> None:
    save_draft(tenant=tenant, source=WORKFLOW.replace("name: theirs", f"name: w{uuid.uuid4().hex[:8]}"))


def grow_conversation(tenant: TenantRef, conversation_id: uuid.UUID, total: int) -> None:
    for _ in range(total):
        conversations.receive_message(tenant=tenant, conversation_id=conversation_id, text="And now?")
        conversations.post_reply(
            tenant=tenant, conversation_id=conversation_id, text="Soon.", reply_key=str(uuid.uuid4())
        )
        conversations.add_note(
            tenant=tenant, conversation_id=conversation_id, author=f"user:{uuid.uuid4()}", text="Odd"
        )


def grow_escalation(tenant: TenantRef, escalation_id: uuid.UUID, total: int) -> None:
    with in_tenant(tenant):
        found = Escalation.objects.get(id=escalation_id).conversation_id
    grow_conversation(tenant, found, total)


def grow_customer(tenant: TenantRef, customer_id: uuid.UUID, total: int) -> None:
    for _ in range(total):
        number = uuid.uuid4().hex[:8]
        create_order(tenant=tenant, number=number, total_cents=1, items=[], customer_id=customer_id)


def grow_document(tenant: TenantRef, document_id: uuid.UUID, total: int) -> None:
    chunk = {"text": "Words", "token_count": 1, "terms": "", "vector": [1.0] + [0.0] * 383}
    with in_tenant(tenant):
        first = Chunk.objects.filter(document_id=document_id).count()
        Chunk.objects.bulk_create(
            Chunk(document_id=document_id, position=first + n, **chunk) for n in range(total)
        )


def grow_endpoint(tenant: TenantRef, endpoint_id: uuid.UUID, total: int) -> None:
    for _ in range(total):
        send_test(tenant=tenant, endpoint_id=endpoint_id, actor="test")


def grow_simulation(tenant: TenantRef, rehearsal_id: uuid.UUID, total: int) -> None:
    with in_tenant(tenant):
        add_cases(rehearsal_id, total)


def grow_questions(tenant: TenantRef, group_id: uuid.UUID, total: int) -> None:
    with in_tenant(tenant):
        Question.objects.bulk_create(
            Question(run_id=uuid.uuid4(), text="Where?", asked_at=timezone.now(), group_id=group_id)
            for _ in range(total)
        )


# What a thing of its own page holds more of.
GROW: dict[str, Callable[[TenantRef, uuid.UUID, int], None]] = {
    "app/channels/outgoing": grow_endpoint,
    "app/conversations": grow_conversation,
    "app/customers": grow_customer,
    "app/inbox": grow_escalation,
    "app/knowledge/documents": grow_document,
    "app/knowledge/questions": grow_questions,
    "app/simulations": grow_simulation,
}
# Made all at once, or the product's own.
NOT_ONE_BY_ONE = {"app/invoices", "app/overview", "app/plans", "app/workflows/w"}


def start_of(route: str) -> str:
    return route.split("/<")[0] if "<" in route else ""


def is_page(route: str) -> bool:
    view = PAGES[route]
    takes_get = not view.post_only and (view.permissions["read"] or route == "app/profile/")
    return bool(takes_get) and route not in NO_PAGES


def count_queries(client: Client, url: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert client.get(url).status_code == 200, url
    return len(captured)


def furnish(tenant: TenantRef, things: dict[str, uuid.UUID], total: int) -> None:
    """Add so many of everything to each list, and to what each thing holds."""
    for _ in range(total):
        for start in set(MAKERS) - NOT_ONE_BY_ONE:
            MAKERS[start](tenant)
        make_workflow(tenant)
    for start in GROW:
        GROW[start](tenant, things[start], total)


def test_no_page_asks_more_for_many(acme: TenantRef, valkey: object):
    client, routes = log_in(acme), sorted(filter(is_page, PAGES))
    things = {start: MAKERS[start](acme) for start in MAKERS if start not in NOT_ONE_BY_ONE}
    begin_billing_on(tenant=acme, day=(timezone.now() - YEAR).date())
    deliver(acme, *(usage(acme, timezone.now() - n * MONTH) for n in range(1, 12)))
    things["app/invoices"] = make_invoices(acme, until=timezone.now() - YEAR + 1.5 * MONTH)
    pages = {route: address_of(route, things, acme) for route in routes}
    furnish(acme, things, 1)
    for url in pages.values():
        client.get(url)  # a process remembers who is who
    few = {route: count_queries(client, url) for route, url in pages.items()}
    furnish(acme, things, MANY)
    make_invoices(acme, until=timezone.now())
    many = {route: count_queries(client, url) for route, url in pages.items()}
    grown = {route: (few[route], many[route]) for route in pages if many[route] > few[route]}
    assert not grown, f"asks more for many: {grown}"
    unlike = {route: (QUERIES.get(route), many.get(route)) for route in {*QUERIES, *many}}
    unlike = {route: found for route, found in unlike.items() if found[0] != found[1]}
    assert not unlike, f"(pinned, asked): {unlike}"


def address_of(route: str, things: dict, tenant: TenantRef) -> str:
    start = start_of(route)
    if start in things:
        beginning, _, rest = route.partition(f"{start}/")
        others = rest.partition(">")[2].replace("<int:number>", "1")
        return f"/{beginning}{start}/{things[start]}{others}"
    return address(route, tenant)
