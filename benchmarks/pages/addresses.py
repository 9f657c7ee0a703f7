"""Every page under /app/ by its address: of a thing that is there, in the worst state that is usual."""

from collections.abc import Iterator
from dataclasses import dataclass

from django.db import connections, models

from apps.conversations.models import Conversation, Escalation
from apps.crm.models import Customer, Lead, Order
from apps.ingestion.models import Document, QuestionGroup
from apps.orchestration.models import AgentRun
from apps.routing.models import IntentExample
from apps.tenants.context import OWNER
from apps.tenants.contracts import TenantRef
from benchmarks.pages.filling import INTENTS, ROW, WORKFLOW
from benchmarks.pages.inserting import id_of

# Things that were filled in, by the parameter of a route; what is none of these, tests know how to make.
FILLED: dict[str, type[models.Model]] = {
    "conversation_id": Conversation,
    "customer_id": Customer,
    "order_id": Order,
    "lead_id": Lead,
    "document_id": Document,
    "escalation_id": Escalation,
    "group_id": QuestionGroup,
    "run_id": AgentRun,
    "example_id": IntentExample,
}
NAMED = {
    "app/workflows/w/<str:name>": f"app/workflows/w/{WORKFLOW}",
    "app/router/intents/<slug:name>": f"app/router/intents/{INTENTS[0]}",
}
# What is not shown in a page, and why; what takes POST only says so itself.
NOT_PAGES = {
    "app/audit/export/": "a file",
    "app/conversations/<uuid:conversation_id>/export/": "a file",
    "app/conversations/export/": "a file",
    "app/customers/export/": "a file",
    "app/leads/export/": "a file",
    "app/orders/export/": "a file",
    "app/reports/export/": "a file",
    "app/usage/export/": "a file",
    "app/exports/<uuid:export_id>/": "a file",
    "app/invoices/<uuid:invoice_id>.pdf": "a file",
    "app/inbox/ticket/": "what a socket is opened with, as JSON",
}
# The same page asked for more.
VARIANTS: dict[str, tuple[str, ...]] = {
    "app/": ("?days=7", "?days=90", "?days=180", "?days=7&granularity=hour"),
    "app/overview/<str:key>/": ("?days=180&show=others", "?days=180"),
    "app/reports/": ("?days=180",),
    "app/conversations/": ("?text=parcel", "?text=nowhere", "?customer=c7&unanswered=on"),
    "app/router/decisions/": (
        "?intent=faq",
        "?channel=email",
        "?below=30",
        "?below=90",
        "?corrected=yes",
        "?corrected=no&channel=api",
    ),
    "app/router/intents/<slug:name>/": ("?q=cancel",),
    "app/knowledge/search/": ("?query=return+a+parcel",),
}


@dataclass(frozen=True)
class Address:
    """Where a page is; with a `reason` it is no page and is left out."""

    route: str
    url: str
    reason: str = ""


def list_addresses(tenant: TenantRef) -> Iterator[Address]:
    """Yield every route under /app/ once, and its variants; makes the things that were not filled in."""
    from tests.isolation.test_pages import PAGES

    for route, view in sorted(PAGES.items()):
        reason = NOT_PAGES.get(route, "")
        if view.post_only or (not view.permissions["read"] and route != "app/profile/"):
            reason = "takes POST only"
        url = "" if reason else _find(route, tenant)
        yield Address(route, url, reason)
        for variant in VARIANTS.get(route, ()):
            yield Address(f"{route}{variant}", f"{url}{variant}")


def _find(route: str, tenant: TenantRef) -> str:
    from tests.isolation.test_pages import address

    for start, named in NAMED.items():
        route = route.replace(start, named)
    for name, model in FILLED.items():
        if f"<uuid:{name}>" in route:
            with connections[OWNER].cursor() as cursor:
                cursor.execute(f"SELECT {id_of(model, str(ROW))}")
                route = route.replace(f"<uuid:{name}>", str(cursor.fetchone()[0]))
    return address(route, tenant)
