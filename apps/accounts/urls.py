"""Pages of people rather than of companies; allauth's views, as far as they have templates of ours."""

from allauth.account import views
from django.urls import include, path, re_path

from apps.accounts.pages import add_company, start
from apps.accounts.resets import ChooseNewPassword

urlpatterns = [
    path("login/", views.login, name="account_login"),
    path("logout/", views.logout, name="account_logout"),
    path("inactive/", views.account_inactive, name="account_inactive"),
    path("", include("apps.accounts.signing_up")),
    path("reauthenticate/", views.reauthenticate, name="account_reauthenticate"),
    path("password/change/", views.password_change, name="account_change_password"),
    path("password/set/", views.password_set, name="account_set_password"),
    path("password/reset/", views.password_reset, name="account_reset_password"),
    path("password/reset/done/", views.password_reset_done, name="account_reset_password_done"),
    re_path(
        r"^password/reset/key/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$",
        ChooseNewPassword.as_view(),
        name="account_reset_password_from_key",
    ),
    path(
        "password/reset/key/done/",
        views.password_reset_from_key_done,
        name="account_reset_password_from_key_done",
    ),
    path("start/", start, name="start"),
    path("companies/new/", add_company, name="add_company"),
    path("", include("apps.accounts.security")),
    path("", include("apps.accounts.factors.pages")),
    path("", include("apps.accounts.oidc.pages")),
]
