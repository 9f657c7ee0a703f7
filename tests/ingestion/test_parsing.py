"""Every format read, every bad file answered with what to do."""

import os
import subprocess
import sys
import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.ingestion.parsing import sandbox
from apps.ingestion.parsing.contracts import ParsedDocument, Section, Unreadable
from apps.ingestion.parsing.markdown import parse_markdown
from apps.ingestion.parsing.readers import READERS, decode, read_document
from apps.ingestion.parsing.sandbox import Limits, parse_safely
from tests.ingestion import files


def read(name: str, content: bytes) -> list[tuple[str, str]]:
    return [(section.heading, section.text) for section in read_document(name, content).sections]


def test_markdown_gives_title_and_heading_paths() -> None:
    text = "# Shop\nHello.\n## Shipping\nFast.\n### Express\nFaster.\n```\n# no heading\n```\n"
    text += "## Returns\n[Free](x)."
    document = parse_markdown(text)
    assert document.title == "Shop"
    assert document.sections == (
        Section("", "Hello."),
        Section("Shipping", "Fast."),
        Section("Shipping > Express", "Faster.\n# no heading"),
        Section("Returns", "Free."),
    )


def test_underlined_headings_count() -> None:
    assert parse_markdown("Shop\n====\nHi.\n\nMore\n----\nThere.").sections == (
        Section("", "Hi."),
        Section("More", "There."),
    )


def test_html_is_read_without_its_frame() -> None:
    page = b"""<html><head><title>Help</title><script>x()</script></head><body><nav>Menu</nav>
      <main><h2>Returns</h2><p>Within 30 &lt; 40 days.</p><ul><li>One</li></ul></main>
      <footer>(c)</footer></body>"""
    document = read_document("page.html", page)
    assert document.title == "Help"
    [section] = document.sections
    assert section.heading == "Returns"
    assert "Within 30 < 40 days." in section.text
    assert "One" in section.text
    assert "Menu" not in section.text


def test_pdf_pages_become_sections_and_sentences_run_on() -> None:
    content = files.make_pdf("First fact. This sentence", "ends here. Last fact.", title="Manual")
    document = read_document("manual.pdf", content)
    assert document.title == "Manual"
    assert [section.heading for section in document.sections] == ["Page 1", "Page 2"]
    assert document.sections[0].text == "First fact."
    assert document.sections[1].text.startswith("This sentence ends here.")


def test_docx_keeps_headings_tables_and_signs() -> None:
    [(heading, text)] = read("handbook.docx", files.make_docx())
    assert heading == "Returns"
    assert "x < 5 & y > 3" in text
    assert "4 euros" in text


def test_tables_are_told_in_words() -> None:
    assert read("a.csv", b"sku;name\n1;Lamp\n2;Chair\n") == [
        ("", "sku: 1\nname: Lamp"),
        ("", "sku: 2\nname: Chair"),
    ]
    assert read("faq.csv", b"question,answer\nHow?,So.\n") == [("How?", "So.")]
    assert read("p.xlsx", files.make_xlsx()) == [("Prices", "Product: Lamp\nPrice: 49")]


def test_slides_give_titles_and_notes() -> None:
    assert read("d.pptx", files.make_pptx()) == [
        ("Warranty", "Two years on all lamps.\nSay that bulbs are excluded.")
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_old_encodings_are_understood(encoding: str) -> None:
    text = "Die Rücksendung ist für Kunden in Österreich kostenlos. Größere Möbel holen wir ab."
    assert decode(text.encode(encoding)) == text


BAD_FILES = [
    ("empty.txt", b"", "empty"),
    ("blank.md", b" \n\t ", "empty"),
    ("photo.jpg", b"\xff\xd8\xff\xe0photo", "image"),
    ("lying.pdf", b"\x89PNG\r\n\x1a\n", "image"),
    ("lying.docx", files.make_pdf("Text."), "rename it to .pdf"),
    ("lying.pdf", b"just words", "does not hold a PDF"),
    ("lying.txt", files.make_docx(), "rename it to .docx"),
    ("program.txt", b"\x7fELF\x02\x01\x01\x00\x00\x00", "does not hold text"),
    ("song.xyz", b"la la la", "not supported"),
    ("broken.pdf", b"%PDF-1.7 and then nothing", "damaged"),
    ("cut.pdf", files.make_pdf("Text.")[:300], "damaged"),
    ("broken.docx", b"PK\x03\x04 nothing", "damaged"),
    ("cut.docx", files.make_docx()[:2000], "damaged"),
    (
        "hollow.docx",
        files.make_zip(word__document_xml=b"").replace(b"document_xml", b"document.xml"),
        "damaged",
    ),
    ("secret.pdf", files.make_pdf("Text.", password="x"), "password"),
    ("secret.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"), "password"),
    ("old.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1WordDocument", "old Office format"),
    ("scan.pdf", files.make_pdf("", ""), "OCR"),
    ("archive.zip", files.make_zip(a=b"x"), "ZIP archive"),
    ("bomb.docx", files.make_bomb(), "200 MB"),
    ("picture.html", b"<html><body><img src=x></body></html>", "no text"),
]


@pytest.mark.parametrize(("name", "content", "advice"), BAD_FILES, ids=[name for name, _, _ in BAD_FILES])
def test_a_bad_file_is_refused_with_advice(name: str, content: bytes, advice: str) -> None:
    with pytest.raises(Unreadable, match=advice):
        parse_safely(name, content)


def test_the_sandbox_gives_what_the_reader_gives() -> None:
    content = b"# T\nHello.\n## A\nText."
    assert parse_safely("a.md", content) == read_document("a.md", content)


def test_a_parser_that_takes_too_long_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "MODULE", "tests.ingestion.sleeper")
    started = time.monotonic()
    with pytest.raises(Unreadable, match="too long"):
        parse_safely("a.txt", b"text", Limits(timeout_s=0.5))
    assert time.monotonic() - started < 5


def test_a_parser_that_takes_too_much_memory_says_so() -> None:
    text = b"word " * 4_000_000
    with pytest.raises(Unreadable, match=r"memory|3,000,000"):
        parse_safely("a.html", text, Limits(memory_bytes=160 * 1024 * 1024))


def test_the_parser_sees_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setattr(sandbox, "MODULE", "tests.ingestion.teller")
    with pytest.raises(Unreadable) as told:
        parse_safely("a.txt", b"text")
    assert "sk-secret" not in str(told.value)
    assert "SECRET_KEY" not in str(told.value)
    assert "PATH" in str(told.value)


def test_the_parser_needs_no_django() -> None:
    modules = "sys, apps.ingestion.parsing.child, apps.ingestion.parsing.readers"
    code = f"import {modules}; assert 'django' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PATH": os.defpath}, cwd=sandbox.ROOT)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400), st.sampled_from(["a.txt", "a.md", "a.html", "a.csv", "a.pdf", "a.docx", "a"]))
def test_any_bytes_are_read_or_refused(content: bytes, name: str) -> None:
    try:
        document = read_document(name, content)
    except Unreadable as error:
        advice = str(error)
    else:
        advice = ""
        assert any(section.text for section in document.sections)
    assert not advice or advice.endswith(".")


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_bit_rot_is_read_or_refused(data: st.DataObject) -> None:
    name, good = data.draw(
        st.sampled_from([("a.docx", DOCX), ("a.pdf", PDF), ("a.xlsx", XLSX), ("a.pptx", PPTX)])
    )
    position = data.draw(st.integers(0, len(good) - 1))
    rotten = good[:position] + data.draw(st.binary(min_size=1, max_size=8)) + good[position + 4 :]
    with suppress(Unreadable):
        document = parse_in_process(name, rotten)
        # What the child lets through as read holds words.
        assert any(character.isalnum() for section in document.sections for character in section.text)


DOCX, PDF, XLSX, PPTX = files.make_docx(), files.make_pdf("Some text."), files.make_xlsx(), files.make_pptx()


def parse_in_process(name: str, content: bytes) -> ParsedDocument:
    """As the child does: a parser's own error on a broken file counts as damage."""
    try:
        return read_document(name, content)
    except Unreadable:
        raise
    except Exception as error:
        raise Unreadable("damaged") from error


def test_every_format_has_a_reader() -> None:
    from apps.ingestion.parsing.formats import BY_EXTENSION

    assert set(BY_EXTENSION.values()) == set(READERS)
