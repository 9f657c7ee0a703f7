"""What a company's own domain serves: its public page and the widget, and nothing where one logs in."""

from django.urls import path

from aiaas.urls import handler400, handler403, handler404, handler500
from apps.gateway import health
from apps.realtime.pages.company import show_company
from apps.realtime.pages.script import show_widget

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]

urlpatterns = [
    path("", show_company, name="company"),
    path("widget.js", show_widget, name="widget"),
    path("healthz", health.healthz),
]
