"""A person's own pages about how they log in: address and sessions, with a company or without."""

from typing import Any

from allauth.account.decorators import reauthentication_required
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from apps.accounts import addresses, sessions
from apps.accounts.forms import AddressForm
from apps.resilience.errors import ConflictError, DomainError, NotFoundError
from apps.tenants.dashboard import add_errors, show_problem
from apps.tenants.identity.selectors import is_verified

TOO_MANY = "Enough mails went to this address for now. Look into the spam folder, or try again later."


@never_cache
@login_required
@require_http_methods(["GET", "HEAD"])
def show_address(request: HttpRequest) -> HttpResponse:
    """Show one's address and whether it is proved."""
    return _show_address(request, AddressForm())


@login_required
@require_POST
def resend_proof(request: HttpRequest) -> HttpResponse:
    """Send the link that proves one's present address once more."""
    user: Any = request.user
    if not is_verified(request):
        _say_sent(request, addresses.mail_proof(request, user=user, email=user.email), user.email)
    return redirect("address")


@login_required
@reauthentication_required(allow_get=True, app="allauth.account")  # type: ignore[untyped-decorator]
@require_http_methods(["GET", "POST"])
def change_address(request: HttpRequest) -> HttpResponse:
    """Ask for another address; it is one's own once its mail was followed."""
    form = AddressForm(request.POST) if request.method == "POST" else AddressForm()
    if request.method != "POST":
        return redirect("address")
    if form.is_valid():
        email = form.cleaned_data["email"]
        try:
            sent = addresses.mail_proof(request, user=request.user, email=email)
        except DomainError as error:
            add_errors(form, error)
        else:
            _say_sent(request, sent, email)
            return redirect("address")
    return _show_address(request, form)


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def prove_address(request: HttpRequest, token: str) -> HttpResponse:
    """Follow a mailed link, logged in to the account that asked for it, and press the button."""
    try:
        proof = addresses.read_proof(token)
        if proof.user_id != request.user.pk:
            raise NotFoundError("This link belongs to another account. Log in to that one and open it again.")
        if request.method == "POST":
            addresses.accept_proof(proof)
            messages.success(request, f"{proof.email} is verified.")
            return HttpResponseRedirect(settings.LOGIN_REDIRECT_URL)
    except (NotFoundError, ConflictError) as error:
        return show_problem(request, error)
    return render(request, "accounts/prove_address.html", {"proof": proof})


@never_cache
@login_required
@require_http_methods(["GET", "HEAD"])
def show_sessions(request: HttpRequest) -> HttpResponse:
    """Show where one is logged in."""
    return render(request, "accounts/sessions.html", {"sessions": sessions.list_sessions(request)})


@login_required
@require_POST
def end_session(request: HttpRequest, session_id: int) -> HttpResponse:
    """End one of one's sessions."""
    try:
        sessions.end_session(request, session_id)
    except NotFoundError as error:
        return show_problem(request, error)
    messages.success(request, "That session has ended.")
    return redirect("sessions")


@login_required
@require_POST
def end_other_sessions(request: HttpRequest) -> HttpResponse:
    """End all of one's sessions but this one."""
    ended = sessions.end_other_sessions(request)
    messages.success(request, f"{ended} other session{'' if ended == 1 else 's'} ended.")
    return redirect("sessions")


def _show_address(request: HttpRequest, form: AddressForm) -> HttpResponse:
    context = {"form": form, "is_verified": is_verified(request)}
    return render(request, "accounts/address.html", context, status=422 if form.errors else 200)


def _say_sent(request: HttpRequest, was_sent: bool, email: str) -> None:
    if was_sent:
        messages.success(request, f"A mail is on its way to {email}. Open its link within a day.")
    else:
        messages.warning(request, TOO_MANY)


urlpatterns = [
    path("address/", show_address, name="address"),
    path("address/resend/", resend_proof, name="resend_proof"),
    path("address/change/", change_address, name="change_address"),
    path("address/prove/<str:token>/", prove_address, name="prove_address"),
    path("sessions/", show_sessions, name="sessions"),
    path("sessions/end-others/", end_other_sessions, name="end_other_sessions"),
    path("sessions/<int:session_id>/end/", end_session, name="end_session"),
]
