"""Customers: the list, and everything about one of them."""

from uuid import UUID

from django.db.models import Count, Q, QuerySet, Sum
from django.http import HttpResponse
from django.shortcuts import redirect, render

from apps.crm import selectors, services
from apps.crm.forms import CustomerForm, EraseForm, ListFilter
from apps.crm.models import Customer, Lead, Order
from apps.crm.pages.shared import edit
from apps.resilience.errors import ConflictError
from apps.tenants.context import in_tenant
from apps.tenants.dashboard import MemberRequest, member_page, notify
from apps.tenants.erasing.services import find_erasure
from apps.tenants.paging import paginate

SHOWN = 20


@member_page(read="read:customers")
def show_customers(request: MemberRequest) -> HttpResponse:
    """List customers, newest first."""
    form = ListFilter(request.GET)
    rows = chosen_customers(form)
    context = {
        "form": form,
        "page": paginate(rows, request.GET.get("cursor", "")),
        "is_filtered": bool(request.GET.get("q")),
        "may_write": request.principal.may("write:customers"),
    }
    return render(request, "crm/customers.html", context, status=422 if form.errors else 200)


@member_page(read="read:customers")
def show_customer(request: MemberRequest, customer_id: UUID) -> HttpResponse:
    """Show what is known of a customer; their conversations are another part's fragment."""
    customer = selectors.get_customer(tenant=request.tenant, customer_id=customer_id)
    orders = Order.objects.filter(customer_id=customer_id)
    paid = orders.exclude(status__in=["cancelled", "refunded"]).order_by().values("currency")
    context = {
        "customer": customer,
        "orders": list(orders.order_by("-placed_at", "-id")[:SHOWN]),
        "leads": list(Lead.objects.filter(customer_id=customer_id).order_by("-id")[:SHOWN]),
        "totals": list(paid.annotate(orders=Count("id"), cents=Sum("total_cents")).order_by("currency")),
        "may_write": request.principal.may("write:customers"),
        "may_talk": request.principal.may("read:conversations"),
    }
    return render(request, "crm/customer.html", context)


@member_page(read="write:customers", write="write:customers")
def add_customer(request: MemberRequest) -> HttpResponse:
    """Add a customer."""

    def save(form: CustomerForm) -> object:
        return services.create_customer(tenant=request.tenant, **form.fields_given())

    return edit(request, CustomerForm, save, title="New customer", done="Added.", then="customer")


@member_page(read="write:customers", write="write:customers", even_suspended=True)
def forget_customer(request: MemberRequest, customer_id: UUID) -> HttpResponse:
    """Erase a customer everywhere, once the member has typed what they are called; show how far it is."""
    with in_tenant(request.tenant):
        erasure = find_erasure(tenant=request.tenant, customer_id=customer_id)
        if erasure is None:
            customer = selectors.get_customer(tenant=request.tenant, customer_id=customer_id)
    if erasure is not None:
        if request.method == "POST":
            raise ConflictError("This customer is being erased already.")
        return render(request, "crm/erasure.html", {"erasure": erasure})
    wanted = customer.email or customer.name or "erase"
    form = EraseForm(request.POST if request.method == "POST" else None, wanted=wanted)
    if request.method == "POST" and form.is_valid():
        services.erase_customer(tenant=request.tenant, customer_id=customer_id, actor=request.user.email)
        notify(request, "The customer is hidden from now on; every trace of them is being erased.")
        return redirect("customer_erase", customer_id)
    context = {"customer": customer, "form": form, "wanted": wanted}
    return render(request, "crm/erase.html", context, status=422 if form.errors else 200)


@member_page(read="write:customers", write="write:customers")
def edit_customer(request: MemberRequest, customer_id: UUID) -> HttpResponse:
    """Change a customer."""
    present = selectors.get_customer(tenant=request.tenant, customer_id=customer_id)

    def save(form: CustomerForm) -> object:
        fields = form.fields_given()
        return services.update_customer(tenant=request.tenant, customer_id=customer_id, **fields)

    initial = {name: getattr(present, name) for name in CustomerForm.base_fields}
    return edit(
        request, CustomerForm, save, title="Edit customer", done="Saved.", then="customer", initial=initial
    )


def chosen_customers(form: ListFilter) -> QuerySet[Customer]:
    """Return the customers that a filter lets through; none where it is not right."""
    return _filtered(form.cleaned_data["q"]) if form.is_valid() else Customer.objects.none()


def _filtered(text: str) -> QuerySet[Customer]:
    rows = Customer.objects.all()
    if not text:
        return rows
    return rows.filter(
        Q(email__startswith=text.lower()) | Q(external_id=text) | Q(phone=text) | Q(name__icontains=text)
    )
