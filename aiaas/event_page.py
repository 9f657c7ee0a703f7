"""Tells of every type of event on one page: what it says, who hears it, and how it may change."""

from collections.abc import Iterator
from fnmatch import fnmatch

from aiaas.subscriptions import CONSUMERS, IN_TRANSACTION
from apps.events.contracts import DomainEvent, stream_of
from apps.events.selectors import list_event_types, read_schema
from apps.webhooks.catalog import BY_TYPE

INTRODUCTION = """# Events

This page is made by `manage.py list_events --write` from the classes in `apps/*/events.py` and from
`aiaas/subscriptions.py`, together with the JSON Schema of every type's data in `apps/events/schemas/`; a
test fails when they are not up to date.

An event is told in the transaction of its fact and travels as

```json
{"id": "…", "type": "agent.run.started", "version": 1, "tenant_id": "…", "occurred_at": "…",
 "run_id": "…", "conversation_id": "…", "trace": "…", "data": {}}
```

on the subject of its type; `id` is its `Nats-Msg-Id`. `run_id`, `conversation_id` and `trace` are there
where they apply. Events of one run, else of one conversation, come in their order. *public* ones may be sent
to a company's own systems ([API](api.md)); the data that those get is listed, with its schema, by
`GET /api/v1/webhook-event-types`.

## Changing one

A new field needs a default: events that wait in a stream, or as a dead letter, lack it. Whoever takes a
field away, or changes its type, raises the class's `version` and adds to its `upcasters` a function from the
former version's data to the new one's; the former schema stays. Consumers are only shown the newest version.
An event of a newer release than the process that hears it becomes a dead letter, to be replayed once all
processes run that release. `list_events --write` refuses anything else, and so does a test."""
HEAD = """| type | version | data | handled in the transaction by | heard by |
| --- | --- | --- | --- | --- |"""


def write_events() -> str:
    """Return `docs/events.md`."""
    parts = [INTRODUCTION]
    for domain in sorted({event_type.split(".")[0] for event_type in list_event_types()}):
        facts = [fact for name, fact in list_event_types().items() if name.startswith(f"{domain}.")]
        rows = "\n".join(map(_row, facts))
        parts.append(f"## `{domain}.>`, in the stream `{stream_of(facts[0].type)}`\n\n{HEAD}\n{rows}")
    return "\n\n".join(parts) + "\n"


def _row(fact: type[DomainEvent]) -> str:
    public = " *public*" if fact.type in BY_TYPE else ""
    handlers = ", ".join(dict.fromkeys(path.split(".")[1] for path in IN_TRANSACTION.get(fact.type, ())))
    cells = (f"`{fact.type}`{public}", str(fact.version), ", ".join(_fields(fact)), handlers)
    return f"| {' | '.join(cells)} | {', '.join(_consumers(fact.type))} |"


def _fields(fact: type[DomainEvent]) -> Iterator[str]:
    schema = read_schema(fact.type, fact.version)
    for name, told in schema["properties"].items():
        kinds = [one.get("format", one["type"]) for one in told.get("anyOf", [told])]
        optional = "" if name in schema["required"] else "?"
        yield f"`{name}{optional}` {' or '.join(kinds)}"


def _consumers(event_type: str) -> Iterator[str]:
    for consumer in CONSUMERS:
        if any(fnmatch(event_type, subject.replace(">", "*")) for subject in consumer.subjects):
            yield f"`{consumer.name}`"
