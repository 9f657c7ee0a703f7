"""Every route of the product, one line for each doorway."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from apps.gateway import health, jwks

handler400 = "apps.gateway.problems.bad_request"
handler403 = "apps.gateway.problems.permission_denied"
handler404 = "apps.gateway.problems.not_found"
handler500 = "apps.gateway.problems.server_error"

urlpatterns: list[URLPattern | URLResolver] = [
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("metrics", health.metrics),
    path(".well-known/jwks.json", jwks.show_keys, name="jwks"),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
    path("api/v1/", include("apps.gateway.api")),
    path("api/v1/", include("apps.tenants.api")),
    path("api/v1/", include("apps.tenants.domains.api")),
    path("api/v1/", include("apps.billing.api")),
    path("api/v1/", include("apps.crm.api")),
    path("api/v1/", include("apps.ingestion.api")),
    path("api/v1/", include("apps.conversations.api")),
    path("api/v1/", include("apps.routing.api")),
    path("api/v1/", include("apps.orchestration.api")),
    path("api/v1/", include("apps.orchestration.rehearsals.api")),
    path("api/v1/", include("apps.analytics.api")),
    path("api/v1/", include("apps.webhooks.api")),
    path("v1/", include("apps.gateway.openai.api")),
    path("hooks/", include("apps.orchestration.hooks.api")),
    path("accounts/", include("apps.accounts.urls")),
    path("accounts/invitations/", include("apps.tenants.pages.invitations")),
    path("admin/", admin.site.urls),
    path("app/", include("apps.analytics.pages")),
    path("app/", include("apps.billing.pages")),
    path("app/", include("apps.tenants.pages")),
    path("app/", include("apps.orchestration.pages")),
    path("app/", include("apps.orchestration.hooks.pages")),
    path("app/", include("apps.orchestration.rehearsals.pages")),
    path("app/", include("apps.webhooks.pages")),
    path("app/", include("apps.crm.pages")),
    path("app/", include("apps.accounts.pages")),
    path("app/", include("apps.ingestion.pages")),
    path("app/", include("apps.routing.pages")),
    path("app/", include("apps.conversations.pages")),
    path("", include("apps.realtime.pages")),
]
