"""To the provider and back; and what is connected."""

from typing import Any

from allauth.socialaccount import views
from allauth.socialaccount.models import SocialApp
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView, OAuth2LoginView
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST
from requests import RequestException

from apps.accounts.oidc.provider import OidcAdapter


@never_cache
@require_POST
def leave(request: HttpRequest, provider_id: str) -> HttpResponse:
    """Send a person to the provider.

    By a page rather than by a redirect: a browser follows no form of ours to another site.
    """
    answer = _call(OAuth2LoginView, request, provider_id)
    if answer.status_code != 302:
        return answer
    return render(request, "accounts/leaving.html", {"url": answer.headers["Location"]})


@never_cache
@require_GET
def come_back(request: HttpRequest, provider_id: str) -> HttpResponse:
    """Take what the provider says, once."""
    return _call(OAuth2CallbackView, request, provider_id)


def _call(view: Any, request: HttpRequest, provider_id: str) -> HttpResponse:
    try:
        answer: HttpResponse = view.adapter_view(OidcAdapter(request, provider_id))(request)
    except SocialApp.DoesNotExist as error:
        raise Http404 from error
    except (OAuth2Error, RequestException, StopIteration, KeyError, ValueError):
        return render(request, "socialaccount/authentication_error.html", status=502)
    return answer


urlpatterns = [
    path("oidc/<slug:provider_id>/login/", leave, name="openid_connect_login"),
    path("oidc/<slug:provider_id>/login/callback/", come_back, name="openid_connect_callback"),
    path("connections/", never_cache(views.connections), name="socialaccount_connections"),
    path("connections/sign-up/", never_cache(views.signup), name="socialaccount_signup"),
    path("connections/cancelled/", views.login_cancelled, name="socialaccount_login_cancelled"),
]
