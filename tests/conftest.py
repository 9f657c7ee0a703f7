"""Fixtures of all tests: a database cloned from a migrated template, two tenants, and real servers."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import redis
from django.conf import settings
from django.db import connections

from aiaas.embedded import NatsServer
from apps.billing.services import forget_quotas
from apps.conversations.services.channels import forget_channels
from apps.gateway import families, signing
from apps.orchestration.definitions.selectors import forget_definitions
from apps.tenants import credentials, key_uses, selectors
from apps.tenants.contracts import TenantRef
from apps.tenants.schemas import migrate_shared
from apps.tenants.services import provision_tenant
from tests.live import LiveDatabase
from tests.told import _told_as_kept  # noqa: F401 - of every test

TEMPLATE = "aiaas_template"
ROLES = Path(settings.ROOT) / "deploy" / "roles.sql"
_tenants: dict[str, TenantRef] = {}


@contextmanager
def superuser(database: str = "") -> Iterator[psycopg.Connection]:
    url = os.environ["TEST_SUPERUSER_URL"]
    with psycopg.connect(url, autocommit=True, **({"dbname": database} if database else {})) as connection:
        yield connection


def use_database(name: str) -> None:
    """Point every connection of this process at another database of the same server."""
    for alias in connections:
        connections[alias].close()
        connections[alias].settings_dict["NAME"] = name


def clone_database(name: str, template: str = TEMPLATE) -> None:
    with superuser() as admin:
        # Copying files takes half as long as logging every block: nothing here has to survive a crash.
        admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY OWNER aiaas_owner')
        admin.execute(f'GRANT CONNECT ON DATABASE "{name}" TO aiaas_app, aiaas_platform')


def drop_database(name: str) -> None:
    with superuser() as admin:
        admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def _make_template() -> None:
    """Migrate once for all workers, with two tenants; an advisory lock lets one do it."""
    with superuser() as admin:
        admin.execute("SELECT pg_advisory_lock(4242)")
        if admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", [TEMPLATE]).fetchone():
            return
        admin.execute("CREATE DATABASE aiaas_building")
        with superuser("aiaas_building") as inside:
            inside.execute(ROLES.read_text())
        use_database("aiaas_building")
        migrate_shared()
        provision_tenant(slug="acme", name="Acme")
        provision_tenant(slug="globex", name="Globex")
        use_database(f"test_{settings.WORKER}")
        admin.execute(f"ALTER DATABASE aiaas_building RENAME TO {TEMPLATE}")


@pytest.fixture(scope="session")
def django_db_setup(django_db_blocker: pytest.FixtureRequest) -> Iterator[None]:
    name = f"test_{settings.WORKER}"
    with django_db_blocker.unblock():
        _make_template()
        drop_database(name)
        clone_database(name)
        for slug in ("acme", "globex"):
            _tenants[slug] = selectors.get_tenant(slug=slug)
        yield
        use_database(name)
    drop_database(name)


@cache
def _valkey_of_this_worker() -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL)


@pytest.fixture(autouse=True)
def _archives(settings: object, tmp_path_factory: pytest.TempPathFactory) -> None:
    settings.EXPORT_DIR = tmp_path_factory.getbasetemp() / "exports" / uuid.uuid4().hex  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def _forget() -> None:
    credentials.forget_all()
    selectors.forget_all()
    forget_quotas()
    forget_definitions()
    forget_channels()
    _valkey_of_this_worker().flushdb()  # its counters would outlive the rolled-back database
    key_uses.forget_all()
    families.forget_all()
    signing.forget_all()


def _tenant(request: pytest.FixtureRequest, slug: str) -> TenantRef:
    request.getfixturevalue("live_db" if "live_db" in request.fixturenames else "db")
    return _tenants[slug]


@pytest.fixture
def acme(request: pytest.FixtureRequest) -> TenantRef:
    """The first of two tenants; the test's transaction is rolled back unless it asks for `live_db`."""
    return _tenant(request, "acme")


@pytest.fixture
def globex(request: pytest.FixtureRequest) -> TenantRef:
    """The other tenant."""
    return _tenant(request, "globex")


@pytest.fixture
def live_db(django_db_setup: None, django_db_blocker: pytest.FixtureRequest) -> Iterator[LiveDatabase]:
    """A committed database of the test's own, for threads, processes and the platform role."""
    name = f"live_{settings.WORKER}"
    drop_database(name)
    clone_database(name)
    with django_db_blocker.unblock():
        use_database(name)
        yield LiveDatabase(name)
        use_database(f"test_{settings.WORKER}")
    drop_database(name)


@pytest.fixture
def valkey() -> Iterator[redis.Redis]:
    """This worker's own, empty Valkey database."""
    assert urlsplit(settings.REDIS_URL).path, "each worker has a database number of its own"
    client = redis.Redis.from_url(settings.REDIS_URL)
    client.flushdb()
    yield client
    client.flushdb()
    client.close()


@pytest.fixture
def nats_server(tmp_path: Path, settings: object) -> Iterator[NatsServer]:
    """A NATS of the test's own, which it may stop, wipe and start again."""
    server = NatsServer(tmp_path / "nats")
    server.start()
    settings.NATS_URL = server.url  # type: ignore[attr-defined]
    yield server
    server.stop()
