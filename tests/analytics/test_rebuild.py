"""Rebuilding read models: beside the ones shown, with the same numbers, whatever happens meanwhile."""

import datetime as dt
import random
import re
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections
from django.db.models import F
from django.utils import timezone

from apps.analytics import rebuilding, services
from apps.analytics.models import ArchivedEvent, ConversationFact, KpiBucket, KpiDay, ReadModelState
from apps.analytics.selectors import read_kpis, span_of
from apps.resilience.errors import ConflictError
from apps.tenants.company import update_settings
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from tests.analytics import oracle
from tests.analytics.traffic import AS_OF, HOUR, deliver, make_conversation, make_traffic


def values_of(tenant: TenantRef) -> dict:
    span = span_of(tenant=tenant, first=dt.date(2026, 3, 1), last=dt.date(2026, 3, 31))
    return read_kpis(tenant=tenant, span=span).values


def buckets(tenant: TenantRef) -> set:
    with in_tenant(tenant):
        shown = ReadModelState.objects.get().generation
        rows = KpiBucket.objects.filter(generation=shown).exclude(amount=0)
        return set(rows.values_list("starts_at", "measure", "amount"))


def generations(tenant: TenantRef) -> set[int]:
    with in_tenant(tenant):
        return {
            generation
            for model in (ConversationFact, KpiBucket, KpiDay)
            for generation in model.objects.values_list("generation", flat=True)
        }


def test_a_rebuild_gives_the_same_and_drops_the_old(filled: TenantRef, globex: TenantRef):
    before, theirs = buckets(filled), buckets(globex)
    rebuilt = services.rebuild_read_models(tenant=filled, as_of=AS_OF)
    assert (rebuilt.conversations, rebuilt.differences) == (40, [])
    assert buckets(filled) == before
    assert generations(filled) == {3}
    assert generations(globex) == {2}
    assert buckets(globex) == theirs


def test_a_rebuild_finds_what_was_tampered_with(filled: TenantRef):
    with in_tenant(filled):
        KpiBucket.objects.filter(measure="conversations").update(amount=5)
    with pytest.raises(CommandError, match="differ"):
        call_command("rebuild_read_models", "--tenant", filled.slug)
    assert services.rebuild_read_models(tenant=filled, as_of=AS_OF).is_equal


def test_the_command_finds_what_was_tampered_with(filled: TenantRef, globex: TenantRef, capsys):
    for tenant in (filled, globex):
        call_command("check_figures", "--tenant", tenant.slug)
    assert capsys.readouterr().out.count("difference 0") == 2
    for model, where in ((KpiBucket, "events"), (KpiDay, "buckets")):
        with in_tenant(filled):
            model.objects.filter(measure="escalated").update(amount=F("amount") + 1)
        with pytest.raises(CommandError, match="1 tenants differ"):
            call_command("check_figures", "--tenant", filled.slug)
        assert re.search(rf"escalated: \d+ shown, \d+ in {where}", capsys.readouterr().out)


def test_events_that_arrive_meanwhile_are_in_the_new_generation(filled: TenantRef, monkeypatch):
    """Two conversations go on and a new one begins, after the archive was read and before the swap."""
    dice = random.Random(11)
    more, first = make_conversation(dice, filled), make_conversation(dice, filled)
    deliver(dice, filled, first[:1])
    project_anew = rebuilding.project_anew

    def and_more(*args, **options):
        project_anew(*args, **options)
        deliver(dice, filled, [*more, *first[1:]])

    monkeypatch.setattr(rebuilding, "project_anew", and_more)
    rebuilt = services.rebuild_read_models(tenant=filled, as_of=AS_OF)
    assert rebuilt.differences == []
    with in_tenant(filled):
        shown = ConversationFact.objects.get(conversation_id=more[0].conversation_id)
        assert shown.generation == 3
        assert ConversationFact.objects.count() == 42


def test_nothing_is_lost_between_consumers_and_rebuilds(live_db, acme: TenantRef, globex: TenantRef):
    """Consumers in threads of their own, one rebuild after the other; then the numbers are the oracle's."""
    dice = random.Random(2)
    events, stop = make_traffic(dice, acme, 16), Event()

    def consume(part: list) -> None:
        for envelope in part:
            deliver(random.Random(0), acme, [envelope])
        connections.close_all()

    def rebuild() -> int:
        count = 0
        while not (stop.is_set() and count):
            assert services.rebuild_read_models(tenant=acme).differences == []
            count += 1
        connections.close_all()
        return count

    dice.shuffle(events)
    with ThreadPoolExecutor(4) as pool:
        rebuilds = pool.submit(rebuild)
        consumed = [pool.submit(consume, events[number::3]) for number in range(3)]
        assert [done.result() for done in consumed] == [None] * 3
        stop.set()
        assert rebuilds.result() >= 1
    now = timezone.now()
    span = span_of(tenant=acme, first=dt.date(2026, 3, 1), last=dt.date(2026, 3, 31))
    expected = oracle.kpis_of(
        oracle.conversations_of(events), span.start, span.end, window=72 * HOUR, as_of=now
    )
    assert not oracle.differences(values_of(acme), expected)
    assert services.rebuild_read_models(tenant=acme).differences == []


def test_killed_on_the_way_it_leaves_what_is_shown(filled: TenantRef, monkeypatch):
    before = buckets(filled)
    with monkeypatch.context() as patch:
        patch.setattr(rebuilding, "_swap", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            services.rebuild_read_models(tenant=filled, as_of=AS_OF)
    assert buckets(filled) == before
    with pytest.raises(ConflictError, match="under way"):
        services.rebuild_read_models(tenant=filled, as_of=AS_OF)
    with in_tenant(filled):
        ReadModelState.objects.update(building_until=timezone.now())
    assert services.rebuild_read_models(tenant=filled, as_of=AS_OF).is_equal
    assert generations(filled) == {4}


def test_another_silence_folds_everything_anew(filled: TenantRef):
    before = values_of(filled)["resolution_rate"]
    update_settings(tenant=filled, name="Acme", time_zone="UTC", silence_hours=720, actor="test")
    assert values_of(filled)["resolution_rate"] == before
    services.settle_silences(tenant=filled, as_of=AS_OF)
    assert values_of(filled)["resolution_rate"] < before
    assert services.rebuild_read_models(tenant=filled, as_of=AS_OF).differences == []


def test_months_have_partitions_ahead_of_time(acme: TenantRef, globex: TenantRef):
    services.ensure_partitions(today=dt.date(2027, 11, 30))
    services.ensure_partitions(today=dt.date(2027, 11, 30))
    with connection.cursor() as cursor:
        for parent in (ArchivedEvent, KpiBucket, KpiDay):
            cursor.execute(
                "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass",
                [parent._meta.db_table],
            )
            parts = {row[0].removeprefix(parent._meta.db_table) for row in cursor.fetchall()}
            assert {"_2027_11", "_2027_12", "_2028_01", "_2028_02", "_default"} <= parts
