"""The page that an invitation's link leads to."""

from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth import login, logout
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import path, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from apps.resilience.errors import ConflictError, InvalidInput, NotFoundError
from apps.tenants import members
from apps.tenants.dashboard import SESSION_TENANT, add_errors, show_problem
from apps.tenants.forms import AcceptForm
from apps.tenants.identity.selectors import is_verified
from apps.tenants.models import User

LOGIN_BACKEND = "allauth.account.auth_backends.AuthenticationBackend"


@never_cache
@require_http_methods(["GET", "POST"])
def accept(request: HttpRequest, token: str) -> HttpResponse:
    """Join the company that a link leads to."""
    try:
        invitation = members.find_invitation(token)
        return _join(request, token, invitation)
    except NotFoundError as error:
        return show_problem(request, error)


def _join(request: HttpRequest, token: str, invitation: members.InvitationView) -> HttpResponse:
    own = request.user.is_authenticated and request.user.email == invitation.email
    # Somebody else's link, opened by a person who is logged in, must not make them another person.
    if (invitation.has_account or request.user.is_authenticated) and not own:
        return _ask_for_login(request, invitation)
    form = AcceptForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and (own or form.is_valid()):
        given = {} if own else form.cleaned_data
        try:
            user_id = members.accept_invitation(token=token, **given)
        except (ConflictError, InvalidInput) as error:
            add_errors(form, error)
        else:
            if not own:
                login(request, User.objects.get(id=user_id), backend=LOGIN_BACKEND)
            request.session[SESSION_TENANT] = invitation.tenant.slug
            there = settings.LOGIN_REDIRECT_URL if is_verified(request) else reverse("address")
            return HttpResponseRedirect(there)
    context = {"invitation": invitation, "form": None if own else form}
    return render(request, "tenants/invitation.html", context, status=422 if form.errors else 200)


def _ask_for_login(request: HttpRequest, invitation: members.InvitationView) -> HttpResponse:
    there = f"{reverse('account_login')}?{urlencode({'next': request.path})}"
    if request.method == "POST" and request.user.is_authenticated:
        logout(request)
        return HttpResponseRedirect(request.path)
    return render(request, "tenants/invitation.html", {"invitation": invitation, "login_url": there})


urlpatterns = [path("<str:token>/", accept, name="accept_invitation")]
