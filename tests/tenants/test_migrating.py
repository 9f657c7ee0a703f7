"""Every tenant is migrated, whoever else is broken, works beside us or is killed."""

import io
import os
import subprocess
import sys
import threading

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connections, migrations, models
from django.db.migrations.loader import MigrationLoader

from apps.crm.models import Customer
from apps.tenants.context import OWNER, in_tenant
from apps.tenants.migrating import migrate_tenants

LATEST = max(name for name in os.listdir(settings.ROOT / "apps/crm/migrations") if name[0].isdigit())[:-3]


class AddShoeSize(migrations.Migration):
    dependencies = [("crm", LATEST)]
    operations = [migrations.AddField("customer", "shoe_size", models.IntegerField(null=True))]


def measure_feet(apps, editor) -> None:
    customers = apps.get_model("crm", "Customer").objects.using(OWNER)
    customers.filter(name="Ada").update(shoe_size=38)
    customers.create(name="New")


class MeasureFeet(migrations.Migration):
    dependencies = [("crm", "9001_shoe_size")]
    operations = [
        migrations.RunPython(measure_feet),
        migrations.AddField("customer", "hat_size", models.IntegerField(default=7)),
    ]


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch):
    """Put migrations beside those on the disk."""

    def plant(**given: type[migrations.Migration]) -> None:
        read = MigrationLoader.load_disk

        def load_disk(self: MigrationLoader) -> None:
            read(self)
            for name, migration in given.items():
                self.disk_migrations["crm", name[1:]] = migration(name[1:], "crm")

        monkeypatch.setattr(MigrationLoader, "load_disk", load_disk)

    return plant


def migrate(*arguments: str) -> str:
    out = io.StringIO()
    call_command("migrate_schemas", *arguments, stdout=out, verbosity=2)
    return out.getvalue()


def columns(schema: str) -> set[str]:
    with connections[OWNER].cursor() as cursor:
        cursor.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = %s "
            "AND table_name = 'crm_customer'",
            [schema],
        )
        return {name for (name,) in cursor.fetchall()}


def owner_executes(sql: str) -> None:
    with connections[OWNER].cursor() as cursor:
        cursor.execute(sql)


def test_each_tenant_gets_columns_and_its_own_data(live_db, planted, acme, globex):
    with in_tenant(acme):
        Customer.objects.create(name="Ada")
    planted(_9001_shoe_size=AddShoeSize, _9002_feet=MeasureFeet)
    assert "acme: 2 migrations applied" in migrate()
    for tenant, names in ((acme, ["Ada", "New"]), (globex, ["New"])):
        assert columns(tenant.schema) >= {"shoe_size", "hat_size"}
        with in_tenant(tenant), connections["default"].cursor() as cursor:
            cursor.execute("SELECT name, shoe_size, tenant_id FROM crm_customer ORDER BY name")
            rows = cursor.fetchall()
        assert [row[0] for row in rows] == names
        assert {row[2] for row in rows} == {tenant.id}
        assert dict(row[:2] for row in rows).get("Ada") in (38, None)
    assert columns("public") == set()
    assert "applied" not in migrate()


def test_a_broken_tenant_is_listed_and_the_others_go_on(live_db, planted, acme, globex):
    owner_executes(f'ALTER TABLE "{acme.schema}".crm_customer ADD COLUMN shoe_size text')
    planted(_9001_shoe_size=AddShoeSize)
    with pytest.raises(CommandError) as failure:
        migrate("--jobs", "1")
    assert "1 of 2 tenants" in str(failure.value)
    assert 'acme: ProgrammingError: column "shoe_size" of relation' in str(failure.value)
    assert "shoe_size" in columns(globex.schema)
    owner_executes(f'ALTER TABLE "{acme.schema}".crm_customer DROP COLUMN shoe_size')
    assert "acme: 1 migrations applied\n1 of 2 tenants migrated" in migrate()


def test_a_tenant_without_a_schema_makes_no_tables_in_public(live_db, acme):
    owner_executes(f'DROP SCHEMA "{acme.schema}" CASCADE')
    with pytest.raises(CommandError, match="acme: MissingSchema: there is no schema t_acme"):
        migrate()
    assert columns("public") == set()


def test_only_the_named_tenant_is_migrated(live_db, planted, acme, globex):
    planted(_9001_shoe_size=AddShoeSize)
    migrate("--tenant", "globex")
    assert "shoe_size" not in columns(acme.schema)
    assert "shoe_size" in columns(globex.schema)
    with pytest.raises(CommandError, match="no tenant 'initech'"):
        migrate("--tenant", "initech")


@pytest.mark.parametrize("count", ["0", "-1", "many", "65"])
def test_a_bad_number_of_jobs_is_refused(live_db, count: str):
    with pytest.raises(CommandError, match="1 to 64"):
        migrate("--jobs", count)


def test_two_runs_at_the_same_time_apply_each_migration_once(live_db, planted, acme, globex):
    planted(_9001_shoe_size=AddShoeSize, _9002_feet=MeasureFeet)
    outcomes = []

    def run() -> None:
        outcomes.extend(migrate_tenants(tenants=[acme, globex], jobs=2))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [outcome.error for outcome in outcomes] == [""] * 6
    assert sorted(outcome.applied for outcome in outcomes) == [0, 0, 0, 0, 2, 2]
    for tenant in (acme, globex):
        with in_tenant(tenant):
            assert Customer.objects.filter(name="New").count() == 1


def test_who_is_killed_half_way_is_resumed(live_db, planted, acme, globex, monkeypatch):
    """The process dies after the column was added and before the migration was recorded."""
    planted(_9001_shoe_size=AddShoeSize)
    code = (
        "import os, django; django.setup()\n"
        "from django.db.migrations.recorder import MigrationRecorder as R\n"
        "from django.db.migrations.loader import MigrationLoader as L\n"
        "import tests.tenants.test_migrating as t\n"
        "read = L.load_disk\n"
        "def load(self):\n"
        "    read(self)\n"
        "    name = '9001_shoe_size'\n"
        "    self.disk_migrations['crm', name] = t.AddShoeSize(name, 'crm')\n"
        "L.load_disk = load\n"
        "from django.db.models import QuerySet\n"
        "QuerySet.create = lambda *a, **k: os._exit(9)\n"
        "from apps.tenants.migrating import migrate_tenants\n"
        "from apps.tenants.selectors import list_all_tenants\n"
        "list(migrate_tenants(tenants=list_all_tenants(), jobs=1))\n"
    )
    environment = {**os.environ, **live_db.environment()}
    killed = subprocess.run([sys.executable, "-c", code], env=environment, cwd=settings.ROOT, check=False)
    assert killed.returncode == 9
    assert "shoe_size" not in columns(acme.schema)
    assert "2 of 2 tenants migrated" in migrate()


def test_a_migration_before_its_ground_is_refused(live_db, planted, acme):
    planted(_9001_shoe_size=AddShoeSize, _9002_feet=MeasureFeet)
    owner_executes(
        f'INSERT INTO "{acme.schema}".django_migrations (app, name, applied) '
        "VALUES ('crm', '9002_feet', now())"
    )
    with pytest.raises(CommandError, match="acme: InconsistentMigrationHistory"):
        migrate()
