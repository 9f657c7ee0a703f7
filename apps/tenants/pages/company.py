"""The company's settings, and the member's own profile."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from apps.resilience.errors import DomainError
from apps.tenants.company import read_settings, set_requires_mfa, update_profile, update_settings
from apps.tenants.context import in_tenant
from apps.tenants.contracts import SIGNED_IN, Role
from apps.tenants.dashboard import MemberRequest, add_errors, member_page, notify
from apps.tenants.forms import ProfileForm, SettingsForm
from apps.tenants.identity.selectors import find_second_step, has_shown_second_factor
from apps.tenants.selectors import wants_mail


@member_page(read="read:settings", write="write:settings")
def edit_settings(request: MemberRequest) -> HttpResponse:
    """Show and change the company's settings."""
    with in_tenant(request.tenant):
        present = read_settings(tenant=request.tenant)
    form = SettingsForm(request.POST if request.method == "POST" else None, initial=present)
    if request.method == "POST" and form.is_valid():
        try:
            update_settings(tenant=request.tenant, actor=request.user.email, **form.cleaned_data)
        except DomainError as error:
            add_errors(form, error)
        else:
            notify(request, "Saved.")
            return redirect("settings")
    context = {
        "form": form,
        "is_owner": request.membership.role is Role.OWNER,
        "requires_mfa": request.membership.requires_mfa,
    }
    return render(request, "tenants/settings.html", context, status=422 if form.errors else 200)


@member_page(write="write:company", post_only=True, needs_verified=True)
def require_second_step(request: MemberRequest) -> HttpResponse:
    """Ask the company's members for a second step, or no more; who does so has shown one."""
    is_required = request.POST.get("required") == "yes"
    if not has_shown_second_factor(request):
        messages.warning(request, "Show your own second step first; then decide for the company.")
        return redirect(find_second_step(user_id=request.user.id, then=reverse("settings")))
    set_requires_mfa(
        tenant=request.tenant,
        is_required=is_required,
        actor=request.user.email,
        actor_role=request.membership.role,
    )
    notify(
        request, "Members show a second step from now on." if is_required else "No second step is asked for."
    )
    return redirect("settings")


@member_page(read=SIGNED_IN, write=SIGNED_IN)
def edit_profile(request: MemberRequest) -> HttpResponse:
    """Show and change one's own name, and whether one is mailed."""
    wanted = wants_mail(tenant=request.tenant, user_id=request.user.id)
    form = ProfileForm(
        request.POST if request.method == "POST" else None,
        initial={"name": request.user.name, "wants_mail": wanted},
    )
    if not request.principal.may("write:conversations"):
        del form.fields["wants_mail"]  # only those who answer are mailed
    if request.method == "POST" and form.is_valid():
        given = {"wants_mail": wanted, **form.cleaned_data}
        update_profile(tenant=request.tenant, user_id=request.user.id, **given)
        notify(request, "Saved.")
        return redirect("profile")
    return render(request, "tenants/profile.html", {"form": form}, status=422 if form.errors else 200)
