"""The one table of the dashboard's pages that have a place in its menu."""

from functools import partial
from typing import Any, NamedTuple

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse

from apps.orchestration.selectors import count_in_need
from apps.webhooks.selectors import list_stopped


class Entry(NamedTuple):
    label: str
    url_name: str
    permission: str
    icon: str


SECTIONS: list[tuple[str, list[Entry]]] = [
    (
        "",
        [
            Entry("Overview", "overview", "read:conversations", "chart"),
            Entry("Reports", "reports", "read:conversations", "list"),
            Entry("First steps", "first_steps", "write:settings", "flag"),
        ],
    ),
    (
        "Support",
        [
            Entry("Inbox", "inbox", "read:conversations", "inbox"),
            Entry("Conversations", "conversations", "read:conversations", "chat"),
        ],
    ),
    (
        "Automation",
        [
            Entry("Knowledge", "knowledge", "read:documents", "book"),
            Entry("Workflows", "workflows", "read:workflows", "flow"),
            Entry("Runs", "runs", "read:runs", "play"),
            Entry("Tools", "tools", "read:workflows", "plug"),
            Entry("Router", "router", "read:router", "split"),
        ],
    ),
    (
        "Business",
        [
            Entry("Orders", "orders", "read:orders", "box"),
            Entry("Customers", "customers", "read:customers", "people"),
            Entry("Leads", "leads", "read:leads", "star"),
        ],
    ),
    (
        "Company",
        [
            Entry("Channels", "channels", "read:settings", "plug"),
            Entry("API keys", "api_keys", "read:api_keys", "key"),
            Entry("Usage", "usage", "read:usage", "gauge"),
            Entry("Invoices", "invoices", "read:billing", "bill"),
            Entry("Team", "team", "read:members", "team"),
            Entry("Settings", "settings", "read:settings", "cog"),
            Entry("Audit trail", "audit", "read:audit", "list"),
        ],
    ),
]


def navigation(request: HttpRequest) -> dict[str, Any]:
    """Offer templates the menu of what the member may see, and what else the shell shows."""
    principal = getattr(request, "principal", None)
    if principal is None or getattr(request, "membership", None) is None:
        return {}
    sections = [
        (title, [_link(request, entry) for entry in entries if principal.may(entry.permission)])
        for title, entries in SECTIONS
    ]
    return {
        "menu": [(title, [link for link in links if link]) for title, links in sections if any(links)],
        # asked where shown
        "stopped_webhooks": partial(list_stopped, tenant=principal.tenant),
        "runs_in_need": partial(count_in_need, tenant=principal.tenant),
    }


def _link(request: HttpRequest, entry: Entry) -> dict[str, Any] | None:
    try:
        url = reverse(entry.url_name)
    except NoReverseMatch:
        return None
    is_here = request.path == url if url == "/app/" else request.path.startswith(url)
    return {"label": entry.label, "url": url, "icon": entry.icon, "is_here": is_here}
