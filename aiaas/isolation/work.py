"""Attack every task and every handler of events, with payloads in which tenants are mixed."""

import dataclasses
import datetime as dt
import inspect
import typing
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from typing import Any

from django.apps import apps
from django.db import Error, transaction
from django.utils.module_loading import import_string, module_has_submodule

from aiaas.celery import app as celery_app
from aiaas.isolation.companies import Company, is_uuid
from aiaas.isolation.evidence import Watch, find_foreign
from aiaas.isolation.report import Report
from aiaas.subscriptions import CONSUMERS, IN_TRANSACTION
from apps.events.contracts import DomainEvent, Envelope
from apps.events.services import publish_at_the_end
from apps.tenants.context import in_tenant, write_waiting
from workers.consumers import handle_envelope

CANDIDATES = 4


class WorkAttack:
    """Name the intruder as the tenant and the victim's rows as the things."""

    def __init__(self, report: Report, victim: Company, intruder: Company) -> None:
        self.report, self.victim, self.intruder = report, victim, intruder
        self.watch = Watch(victim, intruder)

    def run(self) -> None:
        """Attack all tasks and all handlers."""
        before = self.watch.snapshot()
        self._attack_tasks()
        self.report.judge("tasks", "all of them", self.watch.changed_since(before))
        types = {event.type: event for event in event_classes()}
        for event_type, handlers in IN_TRANSACTION.items():
            self._attack_handlers(types[event_type], handlers)
        for consumer in CONSUMERS:
            for event_type in consumer.subjects:
                self._attack_consumer(consumer, types[event_type])
        self.report.judge("events", "all of them", self.watch.changed_since(before))

    def _attack_tasks(self) -> None:
        celery_app.loader.import_default_modules()
        for name, task in sorted(celery_app.tasks.items()):
            if name.startswith("celery."):
                continue
            self.report.aim("tasks")
            parameters = list(inspect.signature(task.run).parameters)
            if not parameters:
                self.report.hold("tasks")  # a periodic job: it carries nothing that could be forged
            for payload in self._payloads(parameters):
                finding = self._told(partial(task.run, **payload), payload)
                self.report.judge("tasks", f"{name} {payload}", finding)

    def _payloads(self, parameters: list[str]) -> Iterator[dict[str, str]]:
        others = [name for name in parameters if name != "tenant_id"]
        tenant = {"tenant_id": str(self.intruder.tenant.id)} if "tenant_id" in parameters else {}
        if not others and tenant:
            yield {"tenant_id": str(uuid.uuid4())}  # nobody's
        for index in range(CANDIDATES if others else 0):
            yield tenant | {name: self._ids(name)[index] for name in others}

    def _ids(self, name: str) -> list[str]:
        return [value for value in self.victim.ids_for(name) if is_uuid(value)]

    def _told(self, act: Callable[[], object], payload: dict[str, str]) -> str:
        """Return what of the victim's an act answers or complains of; refusing is what it should do."""
        try:
            answer = act()
        except Exception as error:
            answer = error
        return find_foreign(f"{answer!r} {answer}", self.victim, payload.values())

    def _attack_handlers(self, kind: type[DomainEvent], handlers: list[str]) -> None:
        mixed, theirs = self._event(kind, self.intruder), self._event(kind, self.victim)
        for path in handlers:
            self.report.aim("events")
            with self.watch.undone() as done:
                finding = self._handled(import_string(path), mixed)
            self.report.judge(
                "events", f"{path} told {kind.type}", finding or self.watch.verdict(done, may_point=True)
            )
        self.report.aim("events")
        self.report.judge("events", f"publish {kind.type} of another tenant", self._published(theirs))

    def _handled(self, handler: Callable[[Any], object], event: DomainEvent) -> str:
        def act() -> None:
            with in_tenant(self.intruder.tenant), transaction.atomic():
                handler(event)

        return self._told(act, {name: str(value) for name, value in vars(event).items()})

    def _published(self, event: DomainEvent) -> str:
        """Another tenant's event must not get into the outbox, whoever's transaction it is."""
        with self.watch.undone():
            try:
                with in_tenant(self.intruder.tenant), transaction.atomic():
                    publish_at_the_end(event)  # its handlers are attacked by themselves
                    write_waiting()
            except Error as error:
                return "" if "row-level security" in str(error) else f"fails otherwise: {error}"
        return "is written to the outbox"

    def _attack_consumer(self, consumer: Any, kind: type[DomainEvent]) -> None:
        event = self._event(kind, self.intruder)
        envelope = Envelope(
            id=uuid.uuid4(),
            type=kind.type,
            version=kind.version,
            tenant_id=self.intruder.tenant.id,
            occurred_at=dt.datetime.now(dt.UTC),
            data=event.data(),
            run_id=event.run_id,
            conversation_id=event.conversation_id,
        )
        self.report.aim("events")
        with self.watch.undone() as done:
            sent = {name: str(value) for name, value in {**vars(event), **event.data()}.items()}
            finding = self._told(lambda: handle_envelope(consumer, envelope), sent)
        self.report.judge(
            "events", f"{consumer.name} fed {kind.type}", finding or self.watch.verdict(done, may_point=True)
        )

    def _event(self, kind: type[DomainEvent], company: Company) -> DomainEvent:
        """Build an event of a company's in which everything else is the victim's."""
        types = typing.get_type_hints(kind)
        values = {
            field.name: self._value(field.name, str(types[field.name])) for field in dataclasses.fields(kind)
        }
        return kind(**(values | {"tenant_id": company.tenant.id}))

    def _value(self, name: str, kind: str) -> Any:
        if name == "plan":
            return "starter"  # there must be one for a handler to get further
        if "UUID" in kind:
            return uuid.UUID(self._ids(name)[0])
        makers: dict[str, Any] = {
            "list": [],
            "tuple": (),
            "datetime": dt.datetime.now(dt.UTC),
            "dict": {},
            "Mapping": {},
            "bool": True,
            "int": 1,
            "float": 0.5,
        }
        return next((value for text, value in makers.items() if text in kind), self.victim.mark)


def event_classes() -> list[type[DomainEvent]]:
    """Return every event that an app declares."""
    for config in apps.get_app_configs():
        if config.name.startswith("apps.") and module_has_submodule(config.module, "events"):
            import_module(f"{config.name}.events")
    found: list[type[DomainEvent]] = []
    waiting = [DomainEvent]
    while waiting:
        subclasses = waiting.pop().__subclasses__()
        waiting += subclasses
        found += [cls for cls in subclasses if cls.__module__.startswith("apps.")]
    return found
