"""A customer's conversations, as a part of the page about them."""

from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render

from apps.conversations import selectors
from apps.conversations.forms import STATUS_LABELS
from apps.conversations.pages.shown import show_cost, show_entries
from apps.crm.selectors import get_customer
from apps.tenants.dashboard import MemberRequest, member_page


@member_page(read="read:conversations")
def show_customer_conversations(request: MemberRequest, customer_id: UUID) -> HttpResponse:
    """List a customer's conversations, newest first, with what they cost and what colleagues noted."""
    get_customer(tenant=request.tenant, customer_id=customer_id)
    page = selectors.list_of_customer(
        tenant=request.tenant, customer_id=customer_id, cursor=request.GET.get("cursor", "")
    )
    rows = [{"conversation": row.conversation, "cost": show_cost(row.cost_microusd)} for row in page.items]
    notes = (
        selectors.list_notes_about(tenant=request.tenant, customer_id=customer_id) if page.is_first else []
    )
    context = {
        "page": page,
        "rows": rows,
        "statuses": STATUS_LABELS,
        "customer_id": customer_id,
        "notes": show_entries(notes),
    }
    return render(request, "conversations/_of_customer.html", context)
