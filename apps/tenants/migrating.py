"""Migrate tenants' schemas: what each lacks is planned once, then applied to many at the same time.

Django's executor builds the state of all models anew for every schema, which costs far more than the
statements do. Here the states are built once for all tenants that lack the same migrations; the operations
themselves, those that run Python too, are Django's own and run in each schema.
"""

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from django.db import connections, transaction
from django.db.migrations import Migration
from django.db.migrations.exceptions import InconsistentMigrationHistory
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations import RunPython, SeparateDatabaseAndState
from django.db.migrations.operations.base import Operation
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState

from apps.tenants.context import OWNER
from apps.tenants.contracts import TenantRef
from apps.tenants.schemas import full_plan, holding_lock, owner_connection, tenant_plan

Key = tuple[str, str]


class MissingSchema(RuntimeError):
    """A tenant has no schema: its tables would be made in `public`."""


@dataclass(frozen=True)
class Outcome:
    """How many migrations a tenant was given, or why it could not be migrated."""

    tenant: TenantRef
    applied: int = 0
    error: str = ""


@dataclass(frozen=True)
class Step:
    operation: Operation
    before: ProjectState
    after: ProjectState


@dataclass(frozen=True)
class PlannedMigration:
    migration: Migration
    steps: tuple[Step, ...]


def migrate_tenants(*, tenants: Sequence[TenantRef], jobs: int) -> Iterator[Outcome]:
    """Migrate tenants, `jobs` at a time, and yield how each went, as soon as it is known.

    A tenant that another process migrates at this moment is waited for.
    """
    waiting, outcomes = deque(tenants), SimpleQueue[Outcome]()
    migrator = Migrator()
    with ThreadPoolExecutor(jobs, "migrate") as threads:
        workers = [threads.submit(_work, migrator, waiting, outcomes) for _ in range(min(jobs, len(tenants)))]
        try:
            for _ in tenants:
                yield outcomes.get()
        finally:
            waiting.clear()  # on Ctrl-C: who has begun finishes, nobody else begins
    for worker in workers:
        worker.result()


def _work(migrator: "Migrator", waiting: deque[TenantRef], outcomes: "SimpleQueue[Outcome]") -> None:
    try:
        while waiting:
            try:
                tenant = waiting.popleft()
            except IndexError:
                return
            outcomes.put(_attempt(migrator, tenant))
    finally:
        connections[OWNER].close()


def _attempt(migrator: "Migrator", tenant: TenantRef) -> Outcome:
    try:
        return Outcome(tenant, applied=migrator.migrate(tenant))
    except Exception as error:
        first_line = (str(error).strip() or "no message").splitlines()[0]
        return Outcome(tenant, error=f"{type(error).__name__}: {first_line}")


class Migrator:
    """Plans by what is missing; may be shared between threads."""

    def __init__(self) -> None:
        self._loader = MigrationLoader(None)
        self._order = tenant_plan(self._loader)
        self._plans: dict[tuple[Key, ...], tuple[PlannedMigration, ...]] = {}
        self._planning = threading.Lock()

    def migrate(self, tenant: TenantRef) -> int:
        """Apply what a tenant's schema lacks and return how many migrations that were.

        Each is recorded in its own transaction, so that a killed process is resumed where it was.
        """
        connection = owner_connection()
        with holding_lock(tenant.schema):
            missing = self._missing(tenant)
            if not missing:
                return 0
            plan = self._plan(missing)
            _serve(str(tenant.id))
            connection.set_schema(tenant.schema)
            try:
                for planned in plan:
                    _apply(planned)
            finally:
                connection.set_schema_to_public()
            _serve("")
        return len(missing)

    def _missing(self, tenant: TenantRef) -> tuple[Key, ...]:
        applied = _applied(tenant)
        nodes = self._loader.graph.nodes
        for key in self._order:
            replaced = set(nodes[key].replaces)
            if replaced and replaced <= applied:
                applied.add(key)
        missing = tuple(key for key in self._order if key not in applied)
        self._check_consistent(applied, set(missing))
        return missing

    def _check_consistent(self, applied: set[Key], missing: set[Key]) -> None:
        for key in self._order:
            ahead = missing & {parent.key for parent in self._loader.graph.node_map[key].parents}
            if key in applied and ahead:
                raise InconsistentMigrationHistory(f"{key} is applied before {ahead.pop()}, which it needs")

    def _plan(self, missing: tuple[Key, ...]) -> tuple[PlannedMigration, ...]:
        with self._planning:
            if missing not in self._plans:
                self._plans[missing] = self._make_plan(missing)
            return self._plans[missing]

    def _make_plan(self, missing: tuple[Key, ...]) -> tuple[PlannedMigration, ...]:
        nodes = self._loader.graph.nodes
        state = ProjectState(real_apps=self._loader.unmigrated_apps)
        for key in full_plan(self._loader):
            if key not in missing:
                state = nodes[key].mutate_state(state, preserve=False)
        assert state.apps  # rendered now, it is kept up to date by each operation
        plan = []
        for key in missing:
            steps = tuple(_step(nodes[key], operation, state) for operation in nodes[key].operations)
            plan.append(PlannedMigration(nodes[key], steps))
        return tuple(plan)


def _step(migration: Migration, operation: Operation, state: ProjectState) -> Step:
    """Move `state` on by one operation and keep what it was before and is after."""
    before = state.clone()
    operation.state_forwards(migration.app_label, state)
    if isinstance(operation, RunPython | SeparateDatabaseAndState):
        # Python sees whole models; rendered here, since the threads share them.
        before.clear_delayed_apps_cache()
        before.is_delayed = False
        assert before.apps
    return Step(operation, before, state.clone())


def _apply(planned: PlannedMigration) -> None:
    migration, connection = planned.migration, owner_connection()
    with transaction.atomic(using=OWNER) if migration.atomic else nullcontext():
        with connection.schema_editor(atomic=migration.atomic) as editor:
            for step in planned.steps:
                _run(step, migration, editor)
        MigrationRecorder.Migration.objects.using(OWNER).create(app=migration.app_label, name=migration.name)


def _run(step: Step, migration: Migration, editor: Any) -> None:
    wants_transaction = step.operation.atomic or (migration.atomic and step.operation.atomic is not False)
    alone = wants_transaction and not editor.atomic_migration
    with transaction.atomic(using=OWNER) if alone else nullcontext():
        step.operation.database_forwards(migration.app_label, editor, step.before, step.after)


def _serve(tenant_id: str) -> None:
    """Let the database fill `tenant_id` columns; the connection is the owner's, which no policy binds."""
    with connections[OWNER].cursor() as cursor:
        cursor.execute("SELECT set_config('app.current_tenant_id', %s, false)", [tenant_id])


def _applied(tenant: TenantRef) -> set[Key]:
    with connections[OWNER].cursor() as cursor:
        cursor.execute("SELECT to_regnamespace(%s), to_regclass(%s)",
                       [f'"{tenant.schema}"', f'"{tenant.schema}".django_migrations'])  # fmt: skip
        has_schema, has_record = cursor.fetchone()
        if has_schema is None:
            raise MissingSchema(f"there is no schema {tenant.schema}; restore it, or delete the tenant")
        if has_record is None:
            _make_record(tenant)
        cursor.execute(f'SELECT app, name FROM "{tenant.schema}".django_migrations')  # noqa: S608 - a checked name
        return set(cursor.fetchall())


def _make_record(tenant: TenantRef) -> None:
    connection = owner_connection()
    connection.set_schema(tenant.schema, include_public=False)  # or the record of public would be taken
    try:
        MigrationRecorder(connection).ensure_schema()
    finally:
        connection.set_schema_to_public()
