"""One log format for our events and for the libraries' records."""

import logging
import sys
from typing import Any

import orjson
import structlog
from opentelemetry import trace
from structlog.types import EventDict, Processor

from aiaas.observability.redaction import redact_event

QUIET = {
    "httpx": "WARNING",
    "httpcore": "WARNING",
    "httpx2": "WARNING",  # the model's client: its call is in the line chat_completed
    "httpcore2": "WARNING",
    "urllib3": "WARNING",
    "asyncio": "WARNING",
    "django.request": "ERROR",  # a refusal is in the line request_finished already
}


def configure_logging(config: dict[str, Any]) -> None:
    """Send every log line to standard error; Django calls this with settings.LOGGING.

    config: `format` ("json", or "text" for people) and `level`.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_trace_id,
    ]
    ours: list[Processor] = [
        structlog.stdlib.filter_by_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
    ]
    structlog.configure(
        processors=[*ours, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_rendering(config["format"]))
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(config["level"])
    _take_over_library_loggers()


def add_trace_id(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Name the current span, so that a log line leads to its trace."""
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = trace.format_trace_id(context.trace_id)
        event["span_id"] = trace.format_span_id(context.span_id)
    return event


def _rendering(style: str) -> list[Processor]:
    last: list[Processor] = [structlog.processors.JSONRenderer(serializer=_dump_json)]
    if style == "text":
        first = ["timestamp", "level", "event"]
        last = [
            structlog.processors.KeyValueRenderer(key_order=first, drop_missing=True, repr_native_str=False)
        ]
    return [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        redact_event,
        *last,
    ]


def _dump_json(event: Any, **_ignored: Any) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _take_over_library_loggers() -> None:
    for name in ("django", "django.server", "django.request", "celery", "granian", "_granian"):
        logger = logging.getLogger(name)
        logger.handlers[:] = []
        logger.propagate = True
    for name, level in QUIET.items():
        logging.getLogger(name).setLevel(level)
