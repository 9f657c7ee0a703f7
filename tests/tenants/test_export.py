"""One archive holds everything of a company, of one moment, and nothing of anybody else."""

import datetime as dt
import hashlib
import json
import threading
import zipfile
from pathlib import Path

import pytest
from django.apps import apps
from django.core import mail
from django.core.management import CommandError, call_command
from django.db import connections
from django.utils import timezone

from apps.conversations.services import start_conversation
from apps.crm.services import create_customer
from apps.ingestion.contracts import UploadedFile
from apps.ingestion.services import add_document
from apps.orchestration.hooks.services import create_endpoint
from apps.resilience.errors import ConflictError, NotFoundError
from apps.tenants.context import OWNER, in_tenant
from apps.tenants.contracts import Role, TenantRef
from apps.tenants.db.compiler import tenant_tables
from apps.tenants.exporting import archive, services
from apps.tenants.exporting.registry import NOT_INCLUDED, list_tables
from apps.tenants.lifecycle import suspend_tenant
from apps.tenants.models import TenantExport
from apps.tenants.notices import mail_notices
from apps.tenants.selectors import list_audit_events
from apps.tenants.services import create_api_key
from tests.isolation.test_registries import own_tasks
from tests.pages import log_in, member_of

pytestmark = pytest.mark.usefixtures("live_db")


def furnish(tenant: TenantRef) -> list[str]:
    """Give a tenant something marked in many places; return the secrets that were handed out."""
    member_of(tenant)
    start_conversation(tenant=tenant, channel="api", text=f"A question for {tenant.slug}-mark")
    create_customer(tenant=tenant, name=f"{tenant.slug}-mark", email=f"ada@{tenant.slug}-mark.example")
    add_document(tenant=tenant, file=UploadedFile("../Ret urns.md", f"# {tenant.slug}-mark".encode()))
    secret = create_endpoint(tenant=tenant, name="orders", action="workflows", actor="test").secret
    return [secret, create_api_key(tenant=tenant, name="k", scopes=["api:read"]).token.partition(".")[2]]


def read(path: Path) -> tuple[dict, dict[str, bytes]]:
    with zipfile.ZipFile(path) as found:
        assert found.testzip() is None
        files = {name: found.read(name) for name in found.namelist()}
    return json.loads(files.pop("manifest.json")), files


def asked(tenant: TenantRef) -> TenantExport:
    return services.request_export(tenant=tenant, actor="owner@acme.example")


def status(tenant: TenantRef, export: TenantExport) -> TenantExport:
    with in_tenant(tenant):
        return TenantExport.objects.get(id=export.id)


def test_every_model_is_in_the_archive_or_says_why_not():
    inside = {table.label for table in list_tables()}
    for model in apps.get_models(include_auto_created=True):
        label, is_ours = model._meta.label, model.__module__.startswith("apps.")
        if model._meta.db_table in tenant_tables():
            assert label in inside
        elif is_ours and not model._meta.auto_created:
            assert label in inside or NOT_INCLUDED.get(label), f"say in NOT_INCLUDED why {label} stays out"


def test_what_opens_doors_is_left_out():
    left_out = {f"{table.label}.{name}" for table in list_tables() for name in table.left_out}
    for name in ("User.password", "ApiKey.secret_hash", "WidgetKey.identity_secret", "Invitation.token_hash"):
        assert f"tenants.{name}" in left_out
    for name in (
        "hooks.Endpoint.previous_secret",
        "tenants.Erasure.sealed",
        "gateway.TokenFamily.password_stamp",
    ):
        assert name in left_out
    assert "ingestion.Chunk.token_count" not in left_out


def test_counts_and_hashes_match_and_nothing_foreign_is_inside(acme, globex, tmp_path: Path):
    secrets, _ = furnish(acme), furnish(globex)
    call_command("export_tenant", tenant="acme", out=tmp_path / "acme.zip")
    manifest, files = read(tmp_path / "acme.zip")
    assert {entry["path"] for entry in [*manifest["tables"], *manifest["files"]]} == set(files)
    for entry in [*manifest["tables"], *manifest["files"]]:
        assert hashlib.sha256(files[entry["path"]]).hexdigest() == entry["sha256"]
        assert len(files[entry["path"]]) == entry["size_bytes"]
    whole = b"".join(files.values())
    assert b"acme-mark" in whole
    assert b"globex-mark" not in whole
    assert str(globex.id).encode() not in whole
    assert not [secret for secret in secrets if secret.encode() in whole]
    assert b"md5$" not in whole, "no password's hash"
    for entry in manifest["tables"]:
        assert files[entry["path"]].count(b"\n") == entry["rows"] == count(acme, entry["table"]), entry[
            "table"
        ]


def count(tenant: TenantRef, table: str) -> int:
    """Count a tenant's rows as the owner of the tables sees them, who is bound by no policy."""
    with connections[OWNER].cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s)", [f"{tenant.schema}.{table}"])
        if cursor.fetchone()[0]:
            cursor.execute(f'SELECT count(*) FROM "{tenant.schema}"."{table}"')
        elif table == "tenants_tenant":
            return 1
        elif table == "tenants_user":
            cursor.execute("SELECT count(*) FROM tenants_membership WHERE tenant_id = %s", [tenant.id])
        elif table == "accounts_signup":
            return 0
        else:
            cursor.execute(f'SELECT count(*) FROM "{table}" WHERE tenant_id = %s', [tenant.id])
            recorded = table == "tenants_auditevent"  # the command's own record came after
            return cursor.fetchone()[0] - recorded
        return cursor.fetchone()[0]


def test_originals_are_files_whose_names_lead_nowhere_else(acme, tmp_path: Path):
    furnish(acme)
    manifest, files = read(archive.write_archive(tenant=acme, path=tmp_path / "a.zip").path)
    [original] = manifest["files"]
    assert original["path"].endswith("/Ret_urns.md")
    assert ".." not in original["path"]
    assert files[original["path"]] == b"# acme-mark"


def test_it_shows_one_moment(acme, tmp_path: Path):
    """What is written while the archive is, is not in it, in no table."""
    seen = []

    def meanwhile(done: int, total: int) -> None:
        if not seen:
            seen.append(total)
            thread = threading.Thread(target=lambda: (furnish(acme), connections.close_all()))
            thread.start()
            thread.join()

    manifest, files = read(archive.write_archive(tenant=acme, path=tmp_path / "a.zip", report=meanwhile).path)
    assert sum(table["rows"] for table in manifest["tables"]) == seen[0]
    assert b"acme-mark" not in b"".join(files.values())


def test_a_worker_that_dies_is_followed_by_another(acme):
    export = asked(acme)

    def dies(**_: object) -> None:
        raise SystemExit  # as a kill does: nothing is settled

    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(services, "write_archive", dies)
        services.write_export(tenant=acme, export_id=export.id)
    assert not services.write_export(tenant=acme, export_id=export.id), "its lease holds"
    assert services.list_due_exports() == []
    with connections[OWNER].cursor() as cursor:
        cursor.execute("UPDATE tenants_tenantexport SET leased_until = now() - interval '1 s'")
    assert services.list_due_exports() == [(acme.id, export.id)]
    assert services.write_export(tenant=acme, export_id=export.id)
    done = status(acme, export)
    assert (done.status, done.progress_percent, done.attempts) == ("ready", 100, 2)
    assert hashlib.sha256(services.path_of(acme.id, export.id).read_bytes()).hexdigest() == done.sha256


def test_who_has_lost_the_lease_finishes_nothing(acme, monkeypatch):
    export, written = asked(acme), archive.write_archive
    monkeypatch.setattr(services, "REPORT_EVERY_S", 0)

    def slept(**given: object) -> archive.Written:
        with connections[OWNER].cursor() as cursor:
            cursor.execute("UPDATE tenants_tenantexport SET lease_epoch = lease_epoch + 1")
        return written(**given)

    monkeypatch.setattr(services, "write_archive", slept)
    services.write_export(tenant=acme, export_id=export.id)
    assert status(acme, export).status == "running"
    assert list(services.path_of(acme.id, export.id).parent.glob("*")) == [], "nothing unfinished is left"


def test_what_fails_again_and_again_is_given_up(acme, monkeypatch):
    export = asked(acme)

    def fails(**_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(services, "write_archive", fails)
    for _ in range(services.MAX_ATTEMPTS):
        services.write_export(tenant=acme, export_id=export.id)
        with connections[OWNER].cursor() as cursor:
            cursor.execute("UPDATE tenants_tenantexport SET leased_until = NULL")
    assert status(acme, export).status == "failed"
    asked(acme)  # and a new one may be asked for


def test_an_owner_asks_waits_and_fetches(acme, globex):
    owner, other = log_in(acme), log_in(globex)
    assert "Make an archive" in owner.get("/app/exports/").content.decode()
    assert owner.post("/app/exports/").status_code == 302
    assert owner.post("/app/exports/").status_code == 409
    [(_, export_id)] = [(acme.id, row.id) for row in rows(acme)]
    url = f"/app/exports/{export_id}/"
    assert owner.get(url).status_code == 404, "it is not ready"
    assert services.write_export(tenant=acme, export_id=export_id)
    answer = owner.get(url)
    assert b"".join(answer.streaming_content) == services.path_of(acme.id, export_id).read_bytes()
    assert answer.headers["Content-Disposition"] == 'attachment; filename="acme.zip"'
    assert other.get(url).status_code == 404
    assert mail_notices() == 1
    assert "/app/exports/" in mail.outbox[0].body
    actions = [event.action for event in list_audit_events(tenant=acme)]
    assert actions[:3] == ["export.downloaded", "export.finished", "export.requested"]


def rows(tenant: TenantRef) -> list[TenantExport]:
    with in_tenant(tenant):
        return list(TenantExport.objects.all())


def test_nobody_but_an_owner_may(acme):
    admin = log_in(acme, Role.ADMIN)
    assert admin.get("/app/exports/").status_code == 403
    assert admin.post("/app/exports/").status_code == 403
    export = asked(acme)
    services.write_export(tenant=acme, export_id=export.id)
    assert admin.get(f"/app/exports/{export.id}/").status_code == 403
    assert "Export everything" not in admin.get("/app/settings/").content.decode()


def test_a_suspended_company_gets_its_data(acme):
    owner = log_in(acme)
    suspend_tenant(tenant=acme, reason="Unpaid", actor="staff:a@platform.example")
    assert owner.post("/app/exports/").status_code == 302
    [export] = rows(acme)
    assert services.write_export(tenant=acme, export_id=export.id)
    assert owner.get(f"/app/exports/{export.id}/").status_code == 200


def test_an_archive_goes_when_its_time_is_over(acme):
    export, owner = asked(acme), log_in(acme)
    services.write_export(tenant=acme, export_id=export.id)
    path = services.path_of(acme.id, export.id)
    stray = path.with_name(f"{acme.id}.zip.partial")
    stray.write_bytes(b"left by a dead worker")
    assert services.purge_exports() == 0
    assert path.exists()
    assert not stray.exists()
    with in_tenant(acme):
        TenantExport.objects.update(expires_at=timezone.now() - dt.timedelta(seconds=1))
    assert owner.get(f"/app/exports/{export.id}/").status_code == 404
    assert services.purge_exports() == 1
    assert not path.exists()
    with pytest.raises(NotFoundError):
        services.open_archive(tenant=acme, export_id=export.id, actor="x")


def test_two_at_once_are_one(acme):
    asked(acme)
    with pytest.raises(ConflictError):
        asked(acme)


def test_the_command_says_what_is_wrong(acme, tmp_path: Path):
    for given, said in (
        ({"tenant": "nobody", "out": tmp_path / "x.zip"}, "no tenant"),
        ({"tenant": "acme", "out": tmp_path}, "exists already"),
        ({"tenant": "acme", "out": tmp_path / "no" / "x.zip"}, "no folder"),
    ):
        with pytest.raises(CommandError, match=said):
            call_command("export_tenant", **given)


def test_the_tasks_are_known():
    assert {"workers.tasks.write_export", "workers.tasks.sweep_exports"} <= set(own_tasks())
