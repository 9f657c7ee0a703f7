"""The end of the company: ask for it, see when, take it back. For owners only."""

from django.http import HttpResponse
from django.shortcuts import redirect, render

from apps.resilience.errors import DomainError
from apps.tenants.context import in_tenant
from apps.tenants.dashboard import MemberRequest, add_errors, member_page, notify
from apps.tenants.deletion.services import cancel_deletion, get_deletion, request_deletion
from apps.tenants.forms import DeletionForm
from apps.tenants.selectors import get_tenant_name


@member_page(read="write:company", write="write:company", even_suspended=True)
def delete_company(request: MemberRequest) -> HttpResponse:
    """Say what a deletion means, and ask for it once the company's name is typed."""
    with in_tenant(request.tenant):
        deletion, name = get_deletion(tenant=request.tenant), get_tenant_name(tenant=request.tenant)
    form = DeletionForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            request_deletion(tenant=request.tenant, actor=request.user.email, **form.cleaned_data)
        except DomainError as error:
            add_errors(form, error)
        else:
            notify(request, "The company will be deleted. Until then you can take it back here.")
            return redirect("delete_company")
    context = {"deletion": deletion, "name": name, "form": form}
    return render(request, "tenants/delete.html", context, status=422 if form.errors else 200)


@member_page(write="write:company", post_only=True, even_suspended=True)
def keep_company(request: MemberRequest) -> HttpResponse:
    """Take the deletion back."""
    cancel_deletion(tenant=request.tenant, actor=request.user.email)
    notify(request, "The company is not deleted; everything works as before.")
    return redirect("settings")
