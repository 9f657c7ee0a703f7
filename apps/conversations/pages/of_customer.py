"""A customer's conversations, as a part of the page about them."""

from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render

from apps.conversations.models import Conversation
from apps.crm.selectors import get_customer
from apps.tenants.dashboard import MemberRequest, member_page
from apps.tenants.paging import paginate


@member_page(read="read:conversations")
def show_customer_conversations(request: MemberRequest, customer_id: UUID) -> HttpResponse:
    """List a customer's conversations, newest first."""
    get_customer(tenant=request.tenant, customer_id=customer_id)
    rows = Conversation.objects.filter(customer_id=customer_id)
    page = paginate(rows, request.GET.get("cursor", ""), size=20)
    return render(request, "conversations/_of_customer.html", {"page": page})
