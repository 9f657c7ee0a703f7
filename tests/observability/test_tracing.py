import subprocess
import sys
from queue import SimpleQueue

import celery
import pytest
from celery.contrib.testing.worker import start_worker
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import aiaas.observability.tracing as sdk
from apps.events import tracing
from apps.gateway.middleware.request_context import RequestContextMiddleware


@pytest.fixture
def spans(monkeypatch, settings):
    """Trace into memory, through the tracer that the product uses."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "_tracer", provider.get_tracer("test"))
    settings.OTEL_EXPORTER_OTLP_ENDPOINT = "http://127.0.0.1:1"
    yield exporter
    provider.shutdown()


def test_without_an_exporter_nothing_is_traced(settings):
    settings.OTEL_EXPORTER_OTLP_ENDPOINT = ""
    assert sdk.start_tracing() is False
    with tracing.continue_trace(None, "work") as span:
        assert not span.is_recording()
        assert tracing.current_traceparent() == ""


def test_without_an_exporter_the_sdk_is_not_even_imported():
    code = "import aiaas.observability.tracing, sys; sys.exit('opentelemetry.sdk' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_trace_goes_on_in_another_process(spans):
    with tracing.continue_trace(None, "request"):
        carried = tracing.current_traceparent()
    with tracing.continue_trace(carried, "consumer"):
        pass
    first, second = spans.get_finished_spans()
    assert second.parent.span_id == first.context.span_id
    assert second.context.trace_id == first.context.trace_id


@pytest.mark.parametrize("bad", ["", "x", "00-0-0-00", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"])
def test_a_bad_traceparent_begins_a_new_trace(spans, bad):
    with tracing.continue_trace(bad, "consumer") as span:
        assert span.parent is None


def test_a_request_is_a_span_with_its_route(spans, api):
    api.get("/api/v1/me")
    (span,) = spans.get_finished_spans()
    assert span.name == "GET /api/v1/me"
    assert span.attributes["http.response.status_code"] == 200


def test_a_task_continues_the_trace_of_its_sender(spans):
    app = celery.Celery("t", broker="memory://", set_as_current=False)
    app.conf.broker_transport_options = {"polling_interval": 0.02}
    seen = SimpleQueue()

    @app.task(name="note", ignore_result=True)
    def note():
        seen.put(tracing.current_traceparent())

    with start_worker(app, perform_ping_check=False, shutdown_timeout=5):
        with tracing.continue_trace(None, "request") as span:
            note.delay()
        traceparent = seen.get(timeout=10)
    assert trace.format_trace_id(span.get_span_context().trace_id) in traceparent
    assert [s.name for s in spans.get_finished_spans()] == ["request", "task note"]
    assert sdk._open_spans == {}


def test_the_middleware_passes_an_incoming_trace_on(spans, rf):
    traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    seen = []

    def view(request):
        from django.http import HttpResponse

        seen.append(tracing.current_traceparent())
        return HttpResponse()

    RequestContextMiddleware(view)(rf.get("/api/v1/x", headers={"traceparent": traceparent}))
    assert "4bf92f3577b34da6a3ce929d0e0e4736" in seen[0]
