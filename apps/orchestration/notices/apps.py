from django.apps import AppConfig


class NoticesConfig(AppConfig):
    name = "apps.orchestration.notices"
    label = "notices"
