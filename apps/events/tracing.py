"""Trace context that outlives a process: in an event's envelope, in a task's headers."""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_propagator = TraceContextTextMapPropagator()
_tracer = trace.get_tracer("aiaas")


def current_traceparent() -> str:
    """Return the W3C `traceparent` of the current span; "" when nothing is traced."""
    if not trace.get_current_span().get_span_context().is_valid:
        return ""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier.get("traceparent", "")


@contextmanager
def continue_trace(
    traceparent: str | None, name: str, attributes: dict[str, str | int | float | bool] | None = None
) -> Iterator[trace.Span]:
    """Run the block in a span whose parent is `traceparent`, or in a new trace when it is empty or bad."""
    parent = _propagator.extract({"traceparent": traceparent}) if traceparent else None
    with _tracer.start_as_current_span(name, context=parent, attributes=attributes) as span:
        yield span
