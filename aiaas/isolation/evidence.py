"""Tell whether an attack got through: by what came back, and by what it touched."""

import io
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

import pypdfium2
from django.db import connections, models, transaction
from psycopg.pq import TransactionStatus

from aiaas.isolation.companies import Company
from aiaas.isolation.rows import is_in_schema, tenant_models
from apps.tenants.context import APP, PLATFORM, in_tenant

# Where this transaction, or one just before it, wrote; PostgreSQL's view of the same is five times slower.
TOUCHED = """
SELECT n.nspname, whole.relname, sum(w.count)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_class whole ON whole.oid = coalesce(pg_partition_root(c.oid)::oid, c.oid)
CROSS JOIN LATERAL (
    SELECT pg_stat_get_xact_tuples_inserted(c.oid) + pg_stat_get_xact_tuples_updated(c.oid)
         + pg_stat_get_xact_tuples_deleted(c.oid)
) w (count)
WHERE c.relkind = 'r' AND n.nspname = ANY(%s) AND w.count > 0 GROUP BY 1, 2"""
SHOWN_CHARS = 60


def find_foreign(answer: bytes | str, victim: Company, sent: Iterable[str] = ()) -> str:
    """Return what of the victim's an answer holds beyond what was sent, or an empty string."""
    text = answer if isinstance(answer, str) else "\n".join(_readings(answer))
    for value in sorted({str(each) for each in sent if each}, key=len, reverse=True):
        text = text.replace(value, "·")
    found = victim.signs.search(text)
    return f"shows {text[max(0, found.start() - SHOWN_CHARS) : found.end()]!r}" if found else ""


def _readings(answer: bytes) -> Iterator[str]:
    """Read an answer as what it may be: text, a workbook or an archive, a PDF."""
    yield answer.decode("utf-8", "replace")
    if answer.startswith(b"PK"):
        with suppress(zipfile.BadZipFile), zipfile.ZipFile(io.BytesIO(answer)) as archive:
            for name in archive.namelist():
                yield name
                yield from _readings(archive.read(name))
    if answer.startswith(b"%PDF"):
        document = pypdfium2.PdfDocument(answer)
        yield "".join(page.get_textpage().get_text_range() for page in document)


@dataclass
class Undone:
    """What a piece of work did before it was undone."""

    before: dict[tuple[str, str, str], int]
    touched: set[tuple[str, str, str]] = field(default_factory=set)  # connection, schema, table
    victim_rows: dict[str, str] = field(default_factory=dict)
    pointing: list[str] = field(default_factory=list)


class Watch:
    """Do work of one company's in transactions that are undone, and look at the other's rows before.

    Rows of the victim's schema are counted by PostgreSQL itself. In tables that tenants share, the victim's
    rows are compared with those before the attack, wherever anything was written.
    """

    def __init__(self, victim: Company, intruder: Company) -> None:
        self.victim, self.intruder = victim, intruder
        self._known: dict[str, str] = {}

    @contextmanager
    def undone(self, *aliases: str) -> Iterator[Undone]:
        """Run the block; afterwards `verdict` tells of it, and nothing of it is left."""
        with undone(*aliases) as start:
            done = Undone(self._touched(start))
            try:
                yield done
            finally:
                _mend(start)
                after = self._touched(start)
                done.touched = {key for key, count in after.items() if count != done.before.get(key, 0)}
                self._look(done)

    def _touched(self, aliases: Iterable[str]) -> dict[tuple[str, str, str], int]:
        found = {}
        schemas = ["public", self.victim.tenant.schema, self.intruder.tenant.schema]
        for alias in aliases:
            with connections[alias].cursor() as cursor:
                cursor.execute(TOUCHED, [schemas])
                found.update({(alias, schema, table): count for schema, table, count in cursor.fetchall()})
        return found

    def verdict(self, done: Undone, *, may_touch: str = "", may_point: bool = False) -> str:
        """Return what was done to the victim, or an empty string."""
        schema = self.victim.tenant.schema
        inside = [table for _, place, table in done.touched if place == schema and table != may_touch]
        if inside:
            return f"writes to {', '.join(sorted(inside))} of another tenant"
        changed = [table for table, state in done.victim_rows.items() if state != self._state_of(table)]
        if changed:
            return f"changes another tenant's rows of {', '.join(sorted(changed))}"
        return (
            f"makes {done.pointing[0]} point at another tenant's row"
            if done.pointing and not may_point
            else ""
        )

    def snapshot(self) -> dict[str, str]:
        """Return the state of all of the victim's rows, for work that cannot be undone."""
        with in_tenant(self.victim.tenant):
            return {model._meta.db_table: self._read_state(model._meta.db_table) for model in tenant_models()}

    def changed_since(self, before: dict[str, str]) -> str:
        """Tell which of the victim's rows have changed, and which of the intruder's point at them."""
        changed = [table for table, state in self.snapshot().items() if state != before[table]]
        if changed:
            return f"changes another tenant's rows of {', '.join(sorted(changed))}"
        places = [(_schema_of(model, self.intruder), model._meta.db_table) for model in tenant_models()]
        pointing = [column for schema, table in places for column in self._find_pointing(schema, table)]
        return f"makes {pointing[0]} point at another tenant's row" if pointing else ""

    def _look(self, done: Undone) -> None:
        for _, schema, table in done.touched:
            if schema == "public" and _has_tenant(table):
                done.victim_rows[table] = self._read_state(table)
            if schema in ("public", self.intruder.tenant.schema):
                done.pointing += self._find_pointing(schema, table)

    def _state_of(self, table: str) -> str:
        if table not in self._known:
            self._known[table] = self._read_state(table)
        return self._known[table]

    def _read_state(self, table: str) -> str:
        column = "id" if table == "tenants_tenant" else "tenant_id"
        query = f"SELECT md5(coalesce(string_agg(md5(t::text), '' ORDER BY t::text), '')) FROM \"{table}\" t"
        with in_tenant(self.victim.tenant), connections[APP].cursor() as cursor:
            cursor.execute(f'{query} WHERE "{column}" = %s', [self.victim.tenant.id])
            return str(cursor.fetchone()[0])

    def _find_pointing(self, schema: str, table: str) -> list[str]:
        """Return the columns of the intruder's rows that hold the id of a row of the victim's."""
        columns = [name for name in _uuid_columns(schema, table) if name != "tenant_id"]
        ids = [thing.value for thing in self.victim.things if len(thing.value) == 36]
        with in_tenant(self.intruder.tenant), connections[APP].cursor() as cursor:
            found = []
            for name in columns:
                cursor.execute(
                    f'SELECT 1 FROM "{schema}"."{table}" WHERE "{name}"::text = ANY(%s) LIMIT 1', [ids]
                )
                found += [f"{table}.{name}"] if cursor.fetchone() else []
            return found


@contextmanager
def undone(*aliases: str) -> Iterator[dict[str, str]]:
    """Take back what the block writes through the given connections, or all that doorways use."""
    with ExitStack() as stack:
        for alias in aliases or (APP, PLATFORM):
            stack.enter_context(transaction.atomic(using=alias))
        start = {alias: transaction.savepoint(using=alias) for alias in aliases or (APP, PLATFORM)}
        try:
            yield start
        finally:
            for alias in start:
                transaction.set_rollback(True, using=alias)


def _mend(start: dict[str, str]) -> None:
    """Let a transaction that a failed statement has spoilt answer again; its counts stay."""
    for alias, savepoint in start.items():
        if connections[alias].connection.info.transaction_status is TransactionStatus.INERROR:
            transaction.savepoint_rollback(savepoint, using=alias)


_columns: dict[tuple[str, str], dict[str, str]] = {}


def _columns_of(schema: str, table: str) -> dict[str, str]:
    if (schema, table) not in _columns:
        with connections[APP].cursor() as cursor:
            cursor.execute(
                "SELECT attname, atttypid::regtype::text FROM pg_attribute "
                "WHERE attrelid = format('%%I.%%I', %s::text, %s::text)::regclass "
                "AND attnum > 0 AND NOT attisdropped",
                [schema, table],
            )
            _columns[schema, table] = dict(cursor.fetchall())
    return _columns[schema, table]


def _schema_of(model: type[models.Model], company: Company) -> str:
    return company.tenant.schema if is_in_schema(model) else "public"


def _has_tenant(table: str) -> bool:
    return table == "tenants_tenant" or "tenant_id" in _columns_of("public", table)


def _uuid_columns(schema: str, table: str) -> list[str]:
    return [name for name, kind in _columns_of(schema, table).items() if kind == "uuid"]
