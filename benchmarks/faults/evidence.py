"""What an installation itself tells of the storm: histories, events, usage."""

from collections import Counter
from typing import Any

import jsonschema
from django.db.models import Sum

from aiaas.subscriptions import CONSUMERS
from apps.billing.models import UsageBucket, UsageEvent
from apps.crm.models import Lead
from apps.events.models import DeadLetter, InboxEntry, OutboxEvent
from apps.events.selectors import read_schema
from apps.orchestration.verifying import verify_runs
from apps.tenants.context import in_platform, in_tenant
from benchmarks.faults.sagas import Sagas, insist


def is_quiet(sagas: Sagas) -> bool:
    """Tell whether every event is published and has been handled by all who hear it."""

    def look() -> bool:
        with in_platform() as alias:
            if OutboxEvent.objects.using(alias).filter(published_at=None).exists():
                return False
        return all(not any(_unheard(tenant).values()) for tenant in sagas.tenants)

    return insist(look)


def collect(sagas: Sagas) -> dict[str, Any]:
    """Return what must all be 0, or as many as there are sagas."""
    differences: list[str] = []
    letters = usage = leads = told_twice = leads_twice = 0
    for tenant in sagas.tenants:
        differences += verify_runs(tenant=tenant).differences
        with in_tenant(tenant):
            letters += DeadLetter.objects.count()
            counted = Counter(UsageEvent.objects.filter(kind="run").values_list("source_id", flat=True))
            usage += len(counted)
            told_twice += counted.total() - len(counted)
            told_twice += UsageEvent.objects.count() - _told("billing.usage.recorded")
            told_twice += abs(_in_buckets() - counted.total())
            found = Counter(Lead.objects.values_list("email", flat=True))
            leads += len(found)
            leads_twice += found.total() - len(found)
    return {
        "histories_that_differ": len(differences),
        "dead_letters": letters,
        "runs_billed": usage,
        "billed_twice": told_twice,
        "leads": leads,
        "leads_twice": leads_twice,
        "events_against_their_schema": _count_invalid(sagas),
        "events": sum(_events(tenant) for tenant in sagas.tenants),
    }


def _unheard(tenant: Any) -> dict[str, int]:
    """Return by consumer how many events more were told than it has handled."""
    with in_tenant(tenant):
        return {
            consumer.name: OutboxEvent.objects.filter(type__in=consumer.subjects).count()
            - InboxEntry.objects.filter(consumer=consumer.name).count()
            for consumer in CONSUMERS
        }


def _told(event_type: str) -> int:
    return OutboxEvent.objects.filter(type=event_type).count()


def _in_buckets() -> int:
    found = UsageBucket.objects.filter(kind="run").aggregate(total=Sum("quantity"))
    return int(found["total"] or 0)


def _events(tenant: Any) -> int:
    with in_tenant(tenant):
        return OutboxEvent.objects.count()


def _count_invalid(sagas: Sagas) -> int:
    validators: dict[tuple[str, int], jsonschema.Draft202012Validator] = {}
    invalid = 0
    for tenant in sagas.tenants:
        with in_tenant(tenant):
            for envelope in OutboxEvent.objects.values_list("envelope", flat=True).iterator():
                name = (envelope["type"], envelope["version"])
                if name not in validators:
                    validators[name] = jsonschema.Draft202012Validator(read_schema(*name))
                invalid += not validators[name].is_valid(envelope["data"])
    return invalid
