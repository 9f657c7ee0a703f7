"""The OpenTelemetry SDK: set up only where an exporter is configured, absent otherwise."""

from contextlib import AbstractContextManager
from typing import Any

from celery.signals import before_task_publish, task_postrun, task_prerun
from django.conf import settings

from apps.events.tracing import continue_trace, current_traceparent

_open_spans: dict[str, AbstractContextManager[Any]] = {}


def start_tracing() -> bool:
    """Export this process's spans to OTEL_EXPORTER_OTLP_ENDPOINT; return whether there is one.

    Imports the SDK only then: without an endpoint every span is a no-op of the API package.
    """
    if not settings.OTEL_EXPORTER_OTLP_ENDPOINT:
        return False
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    endpoint = settings.OTEL_EXPORTER_OTLP_ENDPOINT.rstrip("/")
    provider = TracerProvider(resource=Resource.create({"service.name": settings.SERVICE_NAME}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces")))
    trace.set_tracer_provider(provider)
    return True


@before_task_publish.connect
def _carry_trace(headers: dict[str, Any] | None = None, **_signal: Any) -> None:
    traceparent = current_traceparent()
    if traceparent and headers is not None:
        headers["traceparent"] = traceparent


@task_prerun.connect
def _enter_trace(task_id: str, task: Any, **_signal: Any) -> None:
    if not settings.OTEL_EXPORTER_OTLP_ENDPOINT:
        return
    span = continue_trace(getattr(task.request, "traceparent", None), f"task {task.name}")
    _open_spans[task_id] = span
    span.__enter__()


@task_postrun.connect
def _leave_trace(task_id: str, **_signal: Any) -> None:
    span = _open_spans.pop(task_id, None)
    if span is not None:
        span.__exit__(None, None, None)
