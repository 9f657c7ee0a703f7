"""Attack every function that the product keeps in the database, and every index."""

from typing import Any

from django.db import Error, connections

from aiaas.isolation.companies import Company, is_uuid
from aiaas.isolation.evidence import find_foreign, undone
from aiaas.isolation.report import Report
from apps.tenants.context import APP, OWNER, PLATFORM, in_tenant

FUNCTIONS = """
SELECT n.nspname, p.proname, p.prosecdef,
       ARRAY(SELECT t::regtype::text FROM unnest(p.proargtypes) t),
       coalesce(array_to_string(p.proconfig, ','), '') LIKE '%%search_path=%%',
       p.prorettype = 'trigger'::regtype,
       EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a WHERE a.grantee = 0)
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE pg_get_userbyid(p.proowner) = 'aiaas_owner' AND n.nspname = ANY(%s) ORDER BY 1, 2"""
INDEXES = """
SELECT c.relname, i.relname, m.amname, pg_get_indexdef(x.indexrelid, 1, true),
       format_type(a.atttypid, a.atttypmod)
FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid
JOIN pg_am m ON m.oid = i.relam JOIN pg_attribute a ON a.attrelid = i.oid AND a.attnum = 1
WHERE c.relnamespace = %s::regnamespace AND c.relname <> 'django_migrations' ORDER BY 1, 2"""
# They answer before a tenant is known; what they are asked by is the caller's credential, or public.
RESOLVERS = {
    "resolve_tenant": "a company's short name is public, and so is what it leads to",
    "resolve_api_key": "the key's id; the secret is compared with its hash afterwards",
    "resolve_widget_key": "the key, which every visitor's page carries",
    "resolve_memberships": "the id of the person who is logged in",
    "resolve_domain": "a proven domain is public, and so is the company that it leads to",
    "resolve_invitation": "the hash of an invitation's token",
}
# For the platform's role alone: the application must be refused.
PLATFORMS = {"list_active_tenants"}
PRETEND = "SELECT set_config('app.current_tenant_id', %s, true)"
VECTOR = "[1" + ",0" * 383 + "]"
DENIED = "42501"
SURFACE = "functions"


class FunctionAttack:
    """Call each with all that is the victim's, as another tenant and as nobody."""

    def __init__(self, report: Report, victim: Company, intruder: Company) -> None:
        self.report, self.victim, self.intruder = report, victim, intruder

    def run(self) -> None:
        """Attack the functions of `public` and of a tenant's schema, then its indexes."""
        for schema, name, is_definer, kinds, has_path, is_trigger, is_open in self._rows(FUNCTIONS):
            self.report.aim(SURFACE)
            if is_definer and not has_path:
                self.report.leak(SURFACE, f"{name}: runs as the owner without a search_path of its own")
            if is_definer and is_open and not is_trigger:
                self.report.leak(SURFACE, f"{name}: everybody may run it as the owner")
            if is_trigger:
                self.report.hold(SURFACE)  # cannot be called
            elif name in RESOLVERS:
                self._guess(f'"{schema}"."{name}"', kinds)
            else:
                self._attack(f'"{schema}"."{name}"', name, kinds, is_definer=is_definer)
        self._attack_indexes()

    def _rows(self, query: str) -> list[Any]:
        with connections[OWNER].cursor() as cursor:
            cursor.execute(query, [["public", self.victim.tenant.schema]])
            return list(cursor.fetchall())

    def _attack(self, function: str, name: str, kinds: list[str], *, is_definer: bool) -> None:
        calls = self._calls(kinds)
        if is_definer and self.victim.tenant.schema in function:
            seen = [self._call(APP, self.victim, function, kinds, values) for values in calls]
            if not any(self.victim.signs.search(answer) for answer in seen):
                self.report.miss(SURFACE, f"{name}: finds nothing for the tenant itself")
        for values in calls:
            sent = [text for value in values for text in (value if isinstance(value, list) else [value])]
            for alias in (APP, PLATFORM):
                answer = self._call(alias, self.intruder, function, kinds, values)
                is_reserved = name in PLATFORMS
                if is_reserved and alias == PLATFORM:
                    continue
                finding = find_foreign(answer, self.victim, map(str, sent))
                self.report.judge(SURFACE, f"{name} as {alias}", finding)
                if is_reserved and answer != DENIED:
                    self.report.leak(SURFACE, f"{name}: is not for {alias}")

    def _guess(self, function: str, kinds: list[str]) -> None:
        """A resolver answers to the exact credential only: not to a part of it, a pattern or nothing."""
        for value in ("", "%", "_", self.victim.mark[:-1], f"{self.victim.mark}%", "' OR true --", None):
            if kinds == ["uuid"] and value is not None:
                value = "00000000-0000-0000-0000-000000000000"
            answer = self._call(APP, self.intruder, function, kinds, [value])
            self.report.judge(SURFACE, f"{function}({value!r})", find_foreign(answer, self.victim))

    def _calls(self, kinds: list[str]) -> list[list[Any]]:
        texts = [self.victim.mark, *(t.value for t in self.victim.things if not is_uuid(t.value))][:8]
        ids = [thing.value for thing in self.victim.things if is_uuid(thing.value)][:8]
        return [
            [_argument(kind, text, row_id) for kind in kinds]
            for text, row_id in zip(texts, ids, strict=False)
        ]

    def _call(self, alias: str, company: Company, function: str, kinds: list[str], values: list[Any]) -> str:
        """Return what a call answers, as text; an error's own words are an answer too."""
        places = ", ".join(f"%s::{kind}" for kind in kinds)
        try:
            with undone(), in_tenant(company.tenant), connections[alias].cursor() as cursor:
                if alias == PLATFORM:
                    cursor.execute(
                        "SELECT set_config('app.current_tenant_id', %s, true)", [str(company.tenant.id)]
                    )
                cursor.execute(f"SELECT f.*, to_jsonb(f)::text FROM {function}({places}) f", values)
                return str(cursor.fetchall())
        except Error as error:
            state = getattr(error.__cause__, "sqlstate", None)
            return DENIED if state == DENIED else str(error)

    def _attack_indexes(self) -> None:
        schema = self.victim.tenant.schema
        with connections[OWNER].cursor() as cursor:
            cursor.execute(INDEXES, [f'"{schema}"'])
            indexes = list(cursor.fetchall())
        for table, name, method, expression, kind in indexes:
            self.report.aim("indexes")
            finding = self._through(f'"{schema}"."{table}"', method, expression, kind)
            self.report.judge("indexes", f"{name} ({method})", finding)

    def _through(self, table: str, method: str, expression: str, kind: str) -> str:
        """Return what the intruder finds in the victim's table when the planner must take an index."""
        where = {
            "gin": f"WHERE {expression} @@ plainto_tsquery('simple', '{self.victim.mark}')",
            "hnsw": f"ORDER BY {expression.split(' ')[0]} <=> '{VECTOR}'",
            "btree": f"WHERE {expression} IS NOT NULL ORDER BY {expression}",
        }.get(method)
        if where is None:
            self.report.miss("indexes", f"{table}: no attack for {method}")
            return ""
        with undone(), in_tenant(self.intruder.tenant), connections[APP].cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute(f"SELECT t::text FROM {table} t {where} LIMIT 1")
            return f"shows {str(cursor.fetchall())[:80]}" if cursor.rowcount else ""


def _argument(kind: str, text: str, row_id: str) -> Any:
    known: dict[str, Any] = {
        "text": text,
        "uuid": row_id,
        "vector": VECTOR,
        "integer[]": [1],
        "text[]": [f"'{text}'"],
        "boolean[]": [True],
        "uuid[]": [row_id],
        "date": "2100-01-01",
        "boolean": True,
        "jsonb": "{}",
    }
    return known.get(kind, 1000)
