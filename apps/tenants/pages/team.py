"""The team: members, their roles, and who is invited."""

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.core.mail import send_mail
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import reverse

from apps.resilience.errors import DomainError, InvalidInput
from apps.tenants import members
from apps.tenants.context import in_tenant
from apps.tenants.contracts import SIGNED_IN, Role
from apps.tenants.dashboard import MemberRequest, add_errors, member_page, notify
from apps.tenants.forms import InviteForm, RestoreForm


@member_page(read="read:members", write="write:members", needs_verified=True)
def show_team(request: MemberRequest) -> HttpResponse:
    """Show the members and invitations, and invite."""
    form = InviteForm(request.POST if request.method == "POST" else None)
    is_owner = request.membership.role is Role.OWNER
    if request.method == "POST" and form.is_valid():
        try:
            invitation, token = members.invite_member(
                tenant=request.tenant, **_actor(request), **form.cleaned_data
            )
        except DomainError as error:
            add_errors(form, error)
        else:
            request.session["invitation_link"] = _send(request, invitation.email, token)
            notify(request, f"{invitation.email} is invited. The link is below, should the mail not arrive.")
            return redirect("team")
    with in_tenant(request.tenant):
        context = {
            "form": form,
            "members": members.list_members(tenant=request.tenant),
            "invitations": list(members.waiting_invitations().order_by("-created_at")),
            "link": request.session.pop("invitation_link", ""),
            "is_owner": is_owner,
            "roles": [role.value for role in Role if is_owner or role is not Role.OWNER],
        }
    return render(request, "tenants/team.html", context, status=422 if form.errors else 200)


@member_page(write="write:members", post_only=True)
def change_member(request: MemberRequest, membership_id: UUID) -> HttpResponse:
    """Give a member another role."""
    role = request.POST.get("role", "")
    members.change_role(tenant=request.tenant, membership_id=membership_id, role=role, **_actor(request))
    notify(request, "The role is changed.")
    return redirect("team")


@member_page(write="write:members", post_only=True)
def drop_member(request: MemberRequest, membership_id: UUID) -> HttpResponse:
    """Take a member out of the company."""
    email, _ = members.remove_member(tenant=request.tenant, membership_id=membership_id, **_actor(request))
    undo = f"{reverse('restore_member')}?{urlencode({'email': email})}"
    notify(request, f"{email} is no member any more.", undo_url=undo)
    return redirect("team")


@member_page(write="write:members", post_only=True)
def return_member(request: MemberRequest) -> HttpResponse:
    """Undo a removal."""
    form = RestoreForm({**request.GET.dict(), **request.POST.dict()})
    if not form.is_valid():
        raise InvalidInput({name: [str(e) for e in errors] for name, errors in form.errors.items()})
    members.restore_member(tenant=request.tenant, **_actor(request), **form.cleaned_data)
    notify(request, f"{form.cleaned_data['email']} is back.")
    return redirect("team")


@member_page(write="write:members", post_only=True)
def drop_invitation(request: MemberRequest, invitation_id: UUID) -> HttpResponse:
    """Take an invitation back."""
    members.revoke_invitation(tenant=request.tenant, invitation_id=invitation_id, actor=request.user.email)
    notify(request, "The invitation does not work any more.")
    return redirect("team")


@member_page(write=SIGNED_IN, post_only=True)
def leave(request: MemberRequest) -> HttpResponse:
    """Give up one's own membership."""
    members.leave_company(tenant=request.tenant, user_id=request.user.id)
    messages.success(request, f"You have left {request.membership.tenant_name}.")
    return redirect("start")


def _actor(request: MemberRequest) -> dict[str, Any]:
    return {"actor": request.user.email, "actor_role": request.membership.role}


def _send(request: MemberRequest, email: str, token: str) -> str:
    mailed = _link(members.sign_for_mailbox(token))
    names = {"company": request.membership.tenant_name, "by": request.principal.name, "link": mailed}
    text = render_to_string("tenants/invitation.txt", names)
    send_mail(f"Join {names['company']} on AIaaS", text, None, [email], fail_silently=True)
    return _link(token)


def _link(token: str) -> str:
    return f"{settings.PUBLIC_URL.rstrip('/')}{reverse('accept_invitation', args=[token])}"
