"""The plan of the house, checked: who imports whom, how long things grow, what is documented."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.db import models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations import RunPython

ROOT = Path(settings.ROOT)
CODE = sorted(
    path
    for folder in ("aiaas", "apps", "workers")
    for path in (ROOT / folder).rglob("*.py")
    if "migrations" not in path.parts
)
LAYERS = (
    {"events", "resilience"},
    {"tenants"},
    {"inference"},
    {"crm", "ingestion", "routing", "billing"},
    {"conversations"},
    {"workflows"},
    {"orchestration", "hooks", "rehearsals"},
    {"gateway", "realtime", "accounts", "analytics", "webhooks"},
)
PUBLIC = {"services", "selectors", "contracts", "events"}
# Foundations that every app builds on: the tenant context, base model and sealing, who acts and from where,
# trace context, resilience.
# The dashboard's door and its pages of lists are met in every app's pages.
FOUNDATIONS = {
    "apps.tenants.acting",
    "apps.tenants.context",
    "apps.tenants.client_address",
    "apps.tenants.dashboard",
    "apps.tenants.orm",
    "apps.tenants.paging",
    "apps.tenants.passes",
    "apps.tenants.permissions",
    "apps.tenants.replica",
    "apps.tenants.secrets",
    "apps.tenants.signing",
    "apps.tenants.spreadsheets",
    "apps.events.causes",
    "apps.events.tracing",
}
MAX_FILE, MAX_FUNCTION = 400, 40


def level(label: str) -> int:
    return next(number for number, layer in enumerate(LAYERS) if label in layer)


def product_models() -> list[type[models.Model]]:
    return [model for model in apps.get_models() if model.__module__.startswith("apps.")]


def imports_across_apps(path: Path) -> Iterator[str]:
    own = path.relative_to(ROOT).parts[1]
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        yield from (n for n in names if n.startswith("apps.") and n.split(".")[1] not in (own, "resilience"))


@pytest.mark.parametrize(
    "path", [p for p in CODE if p.is_relative_to(ROOT / "apps")], ids=lambda p: str(p.relative_to(ROOT))
)
def test_an_apps_inside_is_its_own(path: Path):
    for name in imports_across_apps(path):
        is_public = PUBLIC & set(name.split(".")[2:4])
        assert is_public or name.startswith(tuple(FOUNDATIONS)), f"{path.name} reaches into {name}"


@pytest.mark.parametrize("path", CODE, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_stay_short(path: Path):
    text = path.read_text()
    assert text.count("\n") <= MAX_FILE, "split it into a package of the same name"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= MAX_FUNCTION, f"{node.name} has {length} lines"


def test_no_rooms_for_odds_and_ends():
    bad = {"utils", "common", "helpers", "core", "misc"}
    assert not [path for path in CODE if path.stem in bad or bad & set(path.parts)]


def test_no_logic_hides_in_signals():
    hidden = [
        path
        for path in CODE
        if re.search(r"^\s*@receiver|post_save|pre_save", path.read_text(), re.MULTILINE)
    ]
    assert hidden == []


def test_foreign_keys_point_down():
    for model in product_models():
        for field in model._meta.get_fields():
            if not isinstance(field, models.ForeignKey | models.OneToOneField | models.ManyToManyField):
                continue
            own, other = model._meta.app_label, field.related_model._meta.app_label
            if own == other or not field.related_model.__module__.startswith("apps."):
                continue
            assert level(other) < level(own), f"{model.__name__}.{field.name} points up to {other}"
            assert field.remote_field.hidden, f"{model.__name__}.{field.name} needs related_name='+'"


def test_tenant_tables_can_be_made_from_a_script():
    loader = MigrationLoader(None)
    labels = {config.label for config in apps.get_app_configs() if config.name in settings.TENANT_APPS}
    for (label, name), migration in loader.disk_migrations.items():
        if label in labels:
            assert not any(isinstance(op, RunPython) for op in migration.operations), f"{label}.{name}"


def test_every_setting_of_the_environment_is_explained():
    base = (ROOT / "aiaas" / "settings" / "base.py").read_text()
    read = set(re.findall(r'env\.\w+\(\s*"([A-Z_]+)"', base)) | set(
        re.findall(r'_database\("([A-Z_]+)"', base)
    )
    explained = set(re.findall(r"^#?\s?([A-Z][A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert read - explained == set(), "add them to .env.example"
    assert explained - read == set(), "nothing reads these"


def test_only_settings_read_the_environment():
    # These run before the settings can load, or make the environment that they read.
    before = (
        "aiaas/settings/",
        "aiaas/bootstrap/",
        "aiaas/embedded/",
        "aiaas/supervisor/",
        "aiaas/commands/",
    )
    reads = re.compile(r"os\.environ(\[|\.get\()|os\.getenv")
    outside = [str(path.relative_to(ROOT)) for path in CODE if reads.search(path.read_text())]
    assert [path for path in outside if not path.startswith(before)] == []


# Who opens connections: the guard that tenants' addresses pass, adapters of vendors whose address the
# installation sets, and what runs or asks about our own servers. Who imports an error alone opens nothing.
DIALS = re.compile(
    r"^\s*(?:import|from)\s+(aiohttp|ftplib|http\.client|httpcore|httpx|imaplib|poplib|requests|smtplib|socket"
    r"|telnetlib|urllib3|urllib\.request|websockets?)\b(?! import \w+(?:Error|Exception)$)"
    r"|from urllib import request",
    re.MULTILINE,
)
MAY_DIAL = re.compile(
    r"apps/resilience/outbound/|apps/\w+/adapters/|aiaas/(embedded|supervisor)/"
    r"|aiaas/observability/pulse\.py|apps/gateway/health\.py"
)


def test_calls_to_the_outside_pass_the_guard():
    dialling = [str(path.relative_to(ROOT)) for path in CODE if DIALS.search(path.read_text())]
    assert [path for path in dialling if not MAY_DIAL.match(path)] == [], "use apps.resilience.outbound"
    assert [path for path in dialling if path.startswith("apps/resilience/outbound/")], (
        "the search finds something"
    )
