"""`manage.py ingest`: folders in, one clear line for what failed."""

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from apps.ingestion.selectors import list_documents
from apps.tenants.contracts import TenantRef


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "deep").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / "returns.md").write_text("# Returns\nWithin 30 days.")
    (tmp_path / "deep" / "faq.csv").write_text("question,answer\nHow?,So.\n")
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    (tmp_path / ".git" / "hidden.md").write_text("Not for search.")
    return tmp_path


def ingest(*arguments: str) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    try:
        call_command("ingest", *arguments, stdout=out, stderr=err)
    except CommandError as error:
        return out.getvalue(), f"{err.getvalue()}{error}"
    return out.getvalue(), err.getvalue()


def test_a_folder_is_ready_when_the_command_ends(acme: TenantRef, folder: Path) -> None:
    out, err = ingest(str(folder), "--tenant", "acme", "--wait")
    assert (out.strip(), err) == ("2 documents ready, 0 failed.", "")
    documents = list_documents(tenant=acme)
    assert {(document.title, document.status.value) for document in documents} == {
        ("Returns", "ready"),
        ("faq", "ready"),
    }


def test_the_same_folder_again_adds_nothing(acme: TenantRef, folder: Path) -> None:
    for _ in range(2):
        ingest(str(folder), "--tenant", "acme", "--wait")
    assert len(list_documents(tenant=acme)) == 2


def test_without_wait_the_workers_do_it(acme: TenantRef, folder: Path) -> None:
    out, _ = ingest(str(folder), "--tenant", "acme")
    assert "2 documents accepted" in out
    assert {document.status.value for document in list_documents(tenant=acme)} == {"queued"}


def test_what_fails_is_named_with_what_to_do(acme: TenantRef, folder: Path) -> None:
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 nothing")
    out, err = ingest(str(folder), "--tenant", "acme", "--wait")
    assert "2 documents ready, 1 failed." in out
    assert "broken.pdf: The file is damaged: save it again and upload it." in err
    assert err.endswith("1 of 3 documents failed.")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("/no/such/place", "--tenant", "acme"), "There is no file or folder /no/such/place."),
        (("{empty}", "--tenant", "acme"), "Nothing to ingest"),
        (("{empty}", "--tenant", "nobody"), "nobody"),
    ],
)
def test_wrong_usage_is_one_clear_line(
    acme: TenantRef, tmp_path: Path, arguments: tuple[str, ...], line: str
) -> None:
    _, err = ingest(*(argument.format(empty=tmp_path) for argument in arguments))
    assert line in err
    assert "\n" not in err
