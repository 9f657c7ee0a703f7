from django.apps import AppConfig


class HooksConfig(AppConfig):
    name = "apps.orchestration.hooks"
    label = "hooks"
