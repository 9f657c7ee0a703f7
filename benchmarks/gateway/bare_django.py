"""A bare Django view: one customer by its id as JSON, without a middleware, a credential or a tenant."""

import os
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.urls import path

at = urlsplit(os.environ["BENCH_DATABASE"])
DATABASE: dict[str, Any] = {
    "ENGINE": "django.db.backends.postgresql",
    "HOST": at.hostname or "",
    "PORT": at.port or "",
    "USER": at.username,
    "PASSWORD": at.password or "",
    "NAME": at.path.lstrip("/"),
    "OPTIONS": {"pool": {"min_size": 2, "max_size": 8}},
}
if not settings.configured:
    settings.configure(
        SECRET_KEY="bare", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, DATABASES={"default": DATABASE}
    )
application = get_wsgi_application()

import orjson  # noqa: E402

QUERY = f"SELECT id, name, email, created_at FROM {os.environ['BENCH_TABLE']} WHERE id = %s"


def show(request: HttpRequest, customer_id: UUID) -> HttpResponse:
    """Answer one row."""
    with connection.cursor() as cursor:
        cursor.execute(QUERY, [customer_id])
        row = cursor.fetchone()
    body = dict(zip(("id", "name", "email", "created_at"), row, strict=True))
    return HttpResponse(orjson.dumps(body), "application/json")


urlpatterns = [path("<uuid:customer_id>", show)]
