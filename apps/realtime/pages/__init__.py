"""The widget's script, the demo sites, and the dashboard's pages of channels."""

from django.urls import path

from apps.realtime.pages.channels import (
    allow_domain,
    edit_forms,
    edit_general,
    edit_hours,
    edit_limits,
    edit_look,
    edit_texts,
    list_widgets,
    renew_secret,
    show_installation,
    show_secret,
    switch_widget,
)
from apps.realtime.pages.demo import list_sites, show_site
from apps.realtime.pages.script import show_widget

WIDGET = "app/channels/widgets/<str:key>/"

urlpatterns = [
    path("widget.js", show_widget, name="widget"),
    path("demo/", list_sites, name="demo_sites"),
    path("demo/<slug:slug>/", show_site, name="demo_site"),
    path("app/channels/", list_widgets, name="channels"),
    path(WIDGET, edit_look, name="widget_look"),
    path(f"{WIDGET}texts/", edit_texts, name="widget_texts"),
    path(f"{WIDGET}general/", edit_general, name="widget_general"),
    path(f"{WIDGET}hours/", edit_hours, name="widget_hours"),
    path(f"{WIDGET}forms/", edit_forms, name="widget_forms"),
    path(f"{WIDGET}limits/", edit_limits, name="widget_limits"),
    path(f"{WIDGET}install/", show_installation, name="widget_install"),
    path(f"{WIDGET}allow/", allow_domain, name="widget_allow"),
    path(f"{WIDGET}switch/", switch_widget, name="widget_switch"),
    path(f"{WIDGET}secret/show/", show_secret, name="widget_secret"),
    path(f"{WIDGET}secret/rotate/", renew_secret, name="widget_rotate_secret"),
]
