from django.apps import AppConfig


class AiaasConfig(AppConfig):
    name = "aiaas"
    label = "aiaas"

    def ready(self) -> None:
        from aiaas.observability.tracing import start_tracing

        start_tracing()
