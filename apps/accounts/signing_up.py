"""Sign up without being told whether an address has an account.

An address that has one is written to, and the page says what it says to all who have to look into their
mailbox. SIGN_UP_NEEDS_PROOF says whether a new address is proved before its account is made.
"""

from dataclasses import asdict, dataclass
from typing import Any

from allauth.account import views
from allauth.account.adapter import get_adapter
from allauth.account.forms import SignupForm
from allauth.core import ratelimit
from django import forms
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core import signing
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import path, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from apps.accounts.forms import CompanyForm
from apps.resilience.errors import NotFoundError
from apps.tenants.dashboard import show_problem
from apps.tenants.identity.services import keep_address
from apps.tenants.services import clean_email

SALT = "apps.accounts.signing_up"
LASTS_S = 86_400
GONE = "This link was used or has expired. Log in, or sign up once more."


@dataclass(frozen=True)
class Wish:
    """Who wants to sign up, as the mailed link says; stored nowhere before it is followed."""

    email: str
    company: str
    time_zone: str


class WishForm(CompanyForm):
    """What is asked before the address is proved."""

    field_order = ("email", "company", "time_zone")
    email = forms.EmailField(max_length=254, widget=forms.EmailInput({"autocomplete": "email"}))

    def clean_email(self) -> str:
        return clean_email(self.cleaned_data["email"])


class OpenSignUpForm(SignupForm):
    """allauth's form; of an address that is taken it says nothing."""

    def validate_unique_email(self, value: str) -> str:
        self.account_already_exists = _is_taken(value)
        return value

    def try_save(self, request: HttpRequest) -> tuple[Any, HttpResponse | None]:
        if not self.account_already_exists:
            return self.save(request), None
        _mail(request, self.cleaned_data["email"], "address_taken", {})
        return None, redirect("sign_up_sent")


class ProvedSignUpForm(SignupForm):
    """The rest: a password, for the address and the company that the link names."""

    def __init__(self, *args: Any, wish: Wish, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, value in asdict(wish).items():
            self.fields[name].initial, self.fields[name].disabled = value, True
        self.fields["time_zone"].widget = forms.HiddenInput()

    def save(self, request: HttpRequest) -> Any:
        with transaction.atomic():
            user = super().save(request)
            keep_address(user_id=user.pk, email=user.email, is_verified=True)
        return user

    def custom_signup(self, request: HttpRequest, user: Any) -> None:
        self.ask_for_company(user)


class SignUpView(views.SignupView):
    """Ask for everything at once, or for the proof of the address first."""

    def get_form_class(self) -> type[forms.Form]:
        return WishForm if settings.SIGN_UP_NEEDS_PROOF else OpenSignUpForm

    def form_valid(self, form: Any) -> HttpResponse:
        if not isinstance(form, WishForm):
            response: HttpResponse = super().form_valid(form)
            return response
        mail_link(self.request, Wish(**form.cleaned_data))
        return redirect("sign_up_sent")


class FinishSignUpView(views.SignupView):
    """Follow the mailed link and choose a password."""

    template_name = "accounts/finish_sign_up.html"

    def dispatch(self, request: HttpRequest, *args: Any, token: str, **kwargs: Any) -> HttpResponseBase:
        try:
            self.wish = read_link(token)
        except NotFoundError as error:
            return show_problem(request, error)
        return super().dispatch(request, *args, **kwargs)

    def get_form_class(self) -> type[forms.Form]:
        return ProvedSignUpForm

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "wish": self.wish}


@never_cache
@require_http_methods(["GET", "HEAD"])
def show_sent(request: HttpRequest) -> HttpResponse:
    """Say that a mail is on its way, to whoever that may be."""
    return render(request, "accounts/sign_up_sent.html")


def mail_link(request: HttpRequest, wish: Wish) -> None:
    """Send the link to go on with, or, to an address that has an account, the word that it has one."""
    if _is_taken(wish.email):
        _mail(request, wish.email, "address_taken", {})
        return
    token = signing.dumps(asdict(wish), salt=SALT)
    link = f"{settings.PUBLIC_URL.rstrip('/')}{reverse('finish_sign_up', args=[token])}"
    _mail(request, wish.email, "finish_sign_up", {"link": link, "company": wish.company})


def read_link(token: str) -> Wish:
    """Return what a link says; raises NotFoundError for one that is forged, expired or used."""
    try:
        wish = Wish(**signing.loads(token, salt=SALT, max_age=LASTS_S))
    except signing.BadSignature as error:
        raise NotFoundError(GONE) from error
    if _is_taken(wish.email):
        raise NotFoundError(GONE)
    return wish


def _is_taken(email: str) -> bool:
    return get_user_model().objects.filter(email=email).exists()


def _mail(request: HttpRequest, email: str, template: str, context: dict[str, Any]) -> None:
    if ratelimit.consume(request, action="confirm_email", key=email):
        get_adapter().send_mail(f"account/email/{template}", email, context)


urlpatterns = [
    path("signup/", SignUpView.as_view(), name="account_signup"),
    path("signup/sent/", show_sent, name="sign_up_sent"),
    path("signup/<str:token>/", FinishSignUpView.as_view(), name="finish_sign_up"),
]
