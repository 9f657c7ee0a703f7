from django.apps import AppConfig


class AiaasConfig(AppConfig):
    name = "aiaas"
    label = "aiaas"
