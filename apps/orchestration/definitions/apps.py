from django.apps import AppConfig


class DefinitionsConfig(AppConfig):
    name = "apps.orchestration.definitions"
    label = "workflows"
