"""Compare tenants' schemas with the one that the generated script makes."""

import re
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue

from django.db import connections, transaction

from apps.tenants.context import OWNER
from apps.tenants.contracts import TenantRef
from apps.tenants.schemas import create_schema, drop_schema

REFERENCE = "reference_of_drift"  # made and rolled back in one transaction: nobody else ever sees it
HERE = "@"  # stands for the schema's own name, wherever a definition says it
ROLE = "CASE WHEN {0} = 0 THEN 'PUBLIC' ELSE {0}::regrole::text END"
# One row for each thing: what it is, its name, how it is defined.
DESCRIBE = f"""
WITH here AS (SELECT oid, nspowner, nspacl FROM pg_namespace WHERE nspname = %(schema)s),
relations AS (SELECT c.* FROM pg_class AS c JOIN here ON c.relnamespace = here.oid WHERE c.relkind <> 'i')
SELECT 'schema', 'owner', nspowner::regrole::text FROM here
UNION ALL SELECT 'grant', 'schema to ' || {ROLE.format("a.grantee")},
  string_agg(a.privilege_type, ', ' ORDER BY a.privilege_type)
  FROM here, aclexplode(coalesce(nspacl, acldefault('n', nspowner))) AS a GROUP BY a.grantee
UNION ALL SELECT CASE relkind WHEN 'S' THEN 'sequence' ELSE 'table' END, relname,
  format('kind %%s, owner %%s, row security %%s, forced %%s, options %%s',
    relkind, relowner::regrole, relrowsecurity, relforcerowsecurity, reloptions) FROM relations
UNION ALL SELECT 'column', relname || '.' || attname,
  concat_ws(' ', format_type(atttypid, atttypmod), CASE WHEN attnotnull THEN 'NOT NULL' END,
    'DEFAULT ' || pg_get_expr(adbin, adrelid), 'IDENTITY ' || nullif(attidentity::text, ''),
    'GENERATED ' || nullif(attgenerated::text, ''), 'STORAGE ' || attstorage::text,
    'COLLATION ' || nullif(attcollation, 0)::regcollation::text)
  FROM pg_attribute AS a JOIN relations AS r ON r.oid = attrelid AND relkind IN ('r', 'p', 'v', 'm')
  LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum WHERE attnum > 0 AND NOT attisdropped
UNION ALL SELECT 'index', i.relname,
  pg_get_indexdef(i.oid) || CASE WHEN indisvalid THEN '' ELSE ' INVALID' END
  FROM pg_index JOIN pg_class AS i ON i.oid = indexrelid JOIN here ON i.relnamespace = here.oid
UNION ALL SELECT 'constraint', conrelid::regclass::text || '.' || conname,
  pg_get_constraintdef(c.oid) || CASE WHEN convalidated THEN '' ELSE ' NOT VALIDATED' END
  FROM pg_constraint AS c JOIN here ON connamespace = here.oid WHERE contype <> 'n'
UNION ALL SELECT 'policy', relname || '.' || polname,
  format('%%s permissive %%s to %%s using %%s check %%s', polcmd, polpermissive,
    (SELECT string_agg({ROLE.format("role_id")}, ', ' ORDER BY 1) FROM unnest(polroles) AS role_id),
    pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
  FROM pg_policy JOIN relations AS r ON r.oid = polrelid
UNION ALL SELECT 'grant', relname || ' to ' || {ROLE.format("a.grantee")},
  string_agg(a.privilege_type, ', ' ORDER BY a.privilege_type) FROM relations,
  aclexplode(coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner))) AS a
  GROUP BY relname, a.grantee
UNION ALL SELECT 'grant', relname || '.' || attname || ' to ' || {ROLE.format("g.grantee")},
  string_agg(g.privilege_type, ', ' ORDER BY g.privilege_type)
  FROM pg_attribute JOIN relations AS r ON r.oid = attrelid, aclexplode(attacl) AS g
  WHERE NOT attisdropped GROUP BY relname, attname, g.grantee
UNION ALL SELECT 'trigger', relname || '.' || tgname,
  pg_get_triggerdef(t.oid) || ' enabled ' || tgenabled::text
  FROM pg_trigger AS t JOIN relations AS r ON r.oid = tgrelid WHERE NOT tgisinternal
UNION ALL SELECT 'function', p.oid::regprocedure::text,
  pg_get_functiondef(p.oid) || ' owner ' || proowner::regrole::text
  FROM pg_proc AS p JOIN here ON pronamespace = here.oid WHERE prokind IN ('f', 'p')
UNION ALL SELECT 'grant', p.oid::regprocedure::text || ' to ' || {ROLE.format("a.grantee")},
  string_agg(a.privilege_type, ', ' ORDER BY a.privilege_type)
  FROM pg_proc AS p JOIN here ON pronamespace = here.oid,
  aclexplode(coalesce(proacl, acldefault('f', proowner))) AS a GROUP BY p.oid, a.grantee
"""  # noqa: S608 - put together from the lines above alone

Things = dict[tuple[str, str], str]


@dataclass(frozen=True)
class Difference:
    """One thing that is missing, unexpected or other than it should be."""

    kind: str
    name: str
    wanted: str | None
    found: str | None

    def __str__(self) -> str:
        if self.found is None:
            return f"{self.kind} {self.name} is missing: {_short(self.wanted)}"
        if self.wanted is None:
            return f"{self.kind} {self.name} is not expected: {_short(self.found)}"
        return f"{self.kind} {self.name} is {_short(self.found)}, should be {_short(self.wanted)}"


@dataclass(frozen=True)
class Comparison:
    tenant: TenantRef
    differences: tuple[Difference, ...]


def compare_schemas(*, tenants: Sequence[TenantRef], jobs: int) -> Iterator[Comparison]:
    """Compare each tenant's schema with a fresh one, `jobs` at a time, and yield how it differs."""
    wanted = describe_reference()
    waiting, found = deque(tenants), SimpleQueue[Comparison | Exception]()
    with ThreadPoolExecutor(jobs, "drift") as threads:
        for _ in range(min(jobs, len(tenants))):
            threads.submit(_work, wanted, waiting, found)
        try:
            for _ in tenants:
                comparison = found.get()
                if isinstance(comparison, Exception):
                    raise comparison
                yield comparison
        finally:
            waiting.clear()


def _work(wanted: Things, waiting: deque[TenantRef], found: "SimpleQueue[Comparison | Exception]") -> None:
    try:
        while waiting:
            try:
                tenant = waiting.popleft()
            except IndexError:
                return
            found.put(Comparison(tenant, compare(wanted, describe_schema(tenant.schema))))
    except Exception as error:
        found.put(error)
    finally:
        connections[OWNER].close()


def describe_reference() -> Things:
    """Return what a new tenant's schema consists of."""
    with transaction.atomic(using=OWNER):
        create_schema(REFERENCE)
        things = describe_schema(REFERENCE)
        drop_schema(REFERENCE)
    return things


def describe_schema(schema: str) -> Things:
    """Return everything in a schema with its definition, in which the schema's own name is left out."""
    own_name = re.compile(rf"\b{re.escape(schema)}\b")
    with transaction.atomic(using=OWNER), connections[OWNER].cursor() as cursor:
        cursor.execute(f'SET LOCAL search_path TO "{schema}", public')
        cursor.execute(DESCRIBE, {"schema": schema})
        things = {(kind, name): own_name.sub(HERE, text or "") for kind, name, text in cursor.fetchall()}
        if ("table", "django_migrations") in things:
            cursor.execute(f'SELECT app, name FROM "{schema}".django_migrations')  # noqa: S608 - a checked name
            things |= {("migration", f"{app}.{name}"): "applied" for app, name in cursor.fetchall()}
        return things


def compare(wanted: Things, found: Things) -> tuple[Difference, ...]:
    """Return the differences between what should be and what is, by kind and name.

    Of a schema that is not there at all only that is told.
    """
    looked_at = wanted.keys() | found.keys() if found else {("schema", "owner")}
    return tuple(
        Difference(kind, name, wanted.get((kind, name)), found.get((kind, name)))
        for kind, name in sorted(looked_at)
        if wanted.get((kind, name)) != found.get((kind, name))
    )


def _short(text: str | None) -> str:
    words = " ".join((text or "").split())
    return words if len(words) <= 300 else words[:299] + "…"
