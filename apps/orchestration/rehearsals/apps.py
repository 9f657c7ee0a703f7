from django.apps import AppConfig


class RehearsalsConfig(AppConfig):
    name = "apps.orchestration.rehearsals"
    label = "rehearsals"
