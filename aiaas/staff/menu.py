"""The menu of the staff's admin."""

from typing import Any

from django.http import HttpRequest
from django.urls import reverse

SECTIONS: list[tuple[str, list[tuple[str, str, str]]]] = [
    (
        "Companies",
        [
            ("Tenants", "tenants_tenant", "apartment"),
            ("Sign-ups", "accounts_signup", "person_add"),
            ("Domains", "tenants_domain", "language"),
            ("Deletions", "tenants_tenantdeletion", "delete_forever"),
            ("Users", "tenants_user", "group"),
        ],
    ),
    (
        "Money",
        [
            ("Plans", "billing_plan", "payments"),
            ("Subscriptions", "billing_subscription", "contract"),
            ("Invoices", "billing_invoice", "receipt_long"),
        ],
    ),
    (
        "Work",
        [
            ("Runs", "orchestration_agentrun", "play_circle"),
            ("Dead letters", "events_deadletter", "mail_off"),
            ("Outbox", "events_outboxevent", "outbox"),
        ],
    ),
    (
        "Staff",
        [
            ("Groups", "auth_group", "groups"),
            ("Acts on companies", "tenants_auditevent", "policy"),
            ("Log", "admin_logentry", "history"),
        ],
    ),
]


def sections(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the menu in unfold's shape, without what the staff member may not see."""
    start = {"title": "Start", "icon": "home", "link": reverse("admin:index")}
    groups = [(title, _items(request, entries)) for title, entries in SECTIONS]
    return [
        {"items": [start]},
        *({"title": title, "separator": True, "items": items} for title, items in groups if items),
    ]


def _items(request: HttpRequest, entries: list[tuple[str, str, str]]) -> list[dict[str, Any]]:
    return [
        {"title": title, "icon": icon, "link": reverse(f"admin:{model}_changelist")}
        for title, model, icon in entries
        if request.user.has_perm(model.replace("_", ".view_", 1))
    ]
