"""Every event, task and subscription carries its tenant."""

import dataclasses
import inspect

import pytest
from django.utils.module_loading import import_string

from aiaas.celery import app as celery_app
from aiaas.isolation.work import event_classes
from aiaas.subscriptions import CONSUMERS, IN_TRANSACTION
from apps.events.contracts import STREAMS, DomainEvent, stream_of

# Periodic work of the platform itself: it enters a tenant only through what it finds.
PLATFORM_TASKS = {
    "workers.tasks.provision_company",  # the tenant is what it makes
    "workers.tasks.ensure_partitions",
    "workers.tasks.delete_tenants",
    "workers.tasks.mail_escalations",
    "workers.tasks.tell_slack",
    "workers.tasks.mail_notices",
    "workers.tasks.mail_reports",
    "workers.tasks.mail_webhook_notices",
    "workers.tasks.purge",
    "workers.tasks.rotate_signing_key",
    "workers.tasks.settle_silences",
    "workers.tasks.start_scheduled_runs",
    "workers.tasks.sweep",
    "workers.tasks.sweep_bulks",
    "workers.tasks.sweep_erasures",
    "workers.tasks.sweep_exports",
    "workers.tasks.sweep_sign_ups",
    "workers.tasks.sweep_simulations",
    "workers.tasks.sweep_trainings",
    "workers.tasks.check_domains",
    "workers.tasks.check_figures",
    "workers.tasks.check_quotas",
    "workers.tasks.finalise_invoices",
    "workers.tasks.follow_trials",
    "workers.tasks.report_drift",
}


def own_tasks() -> list[str]:
    celery_app.loader.import_default_modules()
    return sorted(name for name in celery_app.tasks if not name.startswith("celery."))


@pytest.mark.parametrize("event", event_classes(), ids=lambda cls: cls.__name__)
def test_every_event_names_its_tenant_and_has_a_stream(event: type[DomainEvent]):
    fields = {field.name: field for field in dataclasses.fields(event)}
    assert fields["tenant_id"].default is dataclasses.MISSING
    assert stream_of(event.type)
    assert event.type.count(".") >= 2, "<domain>.<thing>.<past tense>"


def test_every_event_type_is_told_by_one_class():
    types = [event.type for event in event_classes()]
    assert len(types) == len(set(types))


def test_every_subscription_leads_somewhere():
    types = {event.type for event in event_classes()}
    for event_type, handlers in IN_TRANSACTION.items():
        assert event_type in types
        assert all(callable(import_string(path)) for path in handlers)
    for consumer in CONSUMERS:
        assert consumer.stream in {stream.name for stream in STREAMS}
        assert callable(import_string(consumer.handler))


@pytest.mark.parametrize("name", own_tasks())
def test_every_task_names_its_tenant(name: str):
    parameters = inspect.signature(celery_app.tasks[name].run).parameters
    assert "tenant_id" in parameters or name in PLATFORM_TASKS, "a task's payload carries the tenant's id"
