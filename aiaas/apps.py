from django.apps import AppConfig


class AiaasConfig(AppConfig):
    name = "aiaas"
    label = "aiaas"

    def ready(self) -> None:
        import aiaas.celery  # every process sends its hints through this app  # noqa: F401
        from aiaas.observability.tracing import start_tracing

        start_tracing()
