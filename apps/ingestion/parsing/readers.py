"""One reader for each format: bytes to sections. Runs in the child process."""

import csv
import io
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator

from apps.ingestion.parsing.contracts import ParsedDocument, Section, Unreadable
from apps.ingestion.parsing.formats import detect_format
from apps.ingestion.parsing.markdown import parse_markdown

MAX_CHARS = 3_000_000
DAMAGED = "The file is damaged: save it again and upload it."
SCANNED = "The PDF holds pictures of text only: run text recognition (OCR) on it and upload the result."
NOISE = ("script", "style", "noscript", "template", "nav", "footer", "aside", "form", "svg", "iframe")
QUESTION_COLUMNS = frozenset({"question", "title", "heading", "frage", "titel", "pregunta"})
SENTENCE_END = re.compile(r"[.!?…:。！？]['\")\]]?\s*$")  # noqa: RUF001


def read_document(name: str, content: bytes) -> ParsedDocument:
    """Parse a file by what it holds; raises Unreadable with advice for its owner."""
    kind = detect_format(name, content)
    document = READERS[kind](content)
    size = sum(len(section.text) for section in document.sections)
    if size > MAX_CHARS:
        raise Unreadable(
            f"The document holds more than {MAX_CHARS:,} characters: split it into smaller ones."
        )
    if not any(re.search(r"\w", section.text) for section in document.sections):
        raise Unreadable(SCANNED if kind == "pdf" else "The document holds no text: upload one that does.")
    return document


def decode(content: bytes) -> str:
    """Return the text of a file in UTF-8, UTF-16 or, by its letters, an older encoding."""
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        return content.decode(encoding).replace("\x00", "")
    except UnicodeDecodeError:
        return _decode_by_letters(content)


def _decode_by_letters(content: bytes) -> str:
    from charset_normalizer import from_bytes

    best = from_bytes(content[:65_536]).best()
    return content.decode(best.encoding if best else "cp1252", errors="replace").replace("\x00", "")


def read_text(content: bytes) -> ParsedDocument:
    """Plain text is one section."""
    return ParsedDocument((Section("", decode(content).strip()),))


def read_markdown(content: bytes) -> ParsedDocument:
    """Sections by heading."""
    return parse_markdown(decode(content))


def read_html(content: bytes, *, encoding: str | None = None) -> ParsedDocument:
    """The page's main part, without navigation and scripts."""
    from bs4 import BeautifulSoup
    from markdownify import MarkdownConverter

    soup = BeautifulSoup(content, "html.parser", from_encoding=encoding)
    for tag in soup(NOISE):
        tag.decompose()
    title = soup.title.get_text(" ", strip=True) if soup.title else ""
    main = soup.find("main") or soup.find("article") or soup.body or soup
    document = parse_markdown(MarkdownConverter(heading_style="ATX", escape_misc=False).convert_soup(main))
    return ParsedDocument(document.sections, title or document.title)


def read_docx(content: bytes) -> ParsedDocument:
    """Word's headings, lists and tables."""
    import mammoth

    try:
        html = mammoth.convert_to_html(
            io.BytesIO(content), convert_image=mammoth.images.img_element(_no_image)
        )
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, AttributeError) as error:
        raise Unreadable(DAMAGED) from error
    return read_html(html.value.encode(), encoding="utf-8")


def _no_image(image: object) -> dict[str, str]:
    return {"src": ""}


def read_pdf(content: bytes) -> ParsedDocument:
    """A section for each page; a sentence that runs over the page's end goes with the next."""
    import pypdfium2

    try:
        pdf = pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            message = "The PDF is protected by a password: remove the password and upload it again."
            raise Unreadable(message) from None
        raise Unreadable(DAMAGED) from None
    pages = [_page_text(pdf, number) for number in range(len(pdf))]
    title = (pdf.get_metadata_dict().get("Title") or "").strip()
    return ParsedDocument(tuple(_flow(pages)), title)


def _page_text(pdf: "pypdfium2.PdfDocument", number: int) -> str:  # type: ignore[name-defined]  # noqa: F821
    try:
        text = pdf[number].get_textpage().get_text_range()
    except Exception:  # one broken page does not spoil the others; pdfium raises its own errors
        return ""
    text = text.replace("\r\n", "\n").replace("\x02", "").replace("\ufffe", "").replace("\x00", "")
    return re.sub(r"(\w)[-\u00ad]\n(\w)", r"\1\2", text)


def _flow(pages: list[str]) -> Iterator[Section]:
    carried = ""
    for number, page in enumerate(pages, start=1):
        text = f"{carried} {page}".strip()
        carried = ""
        if number < len(pages) and text and not SENTENCE_END.search(text):
            ends = [match.end() for match in re.finditer(r"[.!?]\s", text)]
            if ends and len(text) - ends[-1] < 500:
                text, carried = text[: ends[-1]], text[ends[-1] :]
        if text.strip():
            yield Section(f"Page {number}" if len(pages) > 1 else "", text.strip())


def read_csv(content: bytes) -> ParsedDocument:
    """A section for each row, in words: "column: value"; a question column makes the heading."""
    text = decode(content)
    try:
        dialect: type[csv.Dialect] = csv.Sniffer().sniff(text[:8192], delimiters=",;\t|")
    except csv.Error:
        dialect = csv.excel
    csv.field_size_limit(MAX_CHARS)
    try:
        rows = [row for row in csv.reader(io.StringIO(text), dialect) if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise Unreadable(f"The table cannot be read ({error}): save it as CSV in UTF-8 again.") from None
    return ParsedDocument(tuple(_rows_to_sections(rows)))


def _rows_to_sections(rows: list[list[str]], prefix: str = "") -> Iterator[Section]:
    if len(rows) < 2:
        yield from (Section(prefix, " ".join(row)) for row in rows)
        return
    header = [name.strip() for name in rows[0]]
    asks = next((i for i, name in enumerate(header) if name.casefold() in QUESTION_COLUMNS), None)
    for row in rows[1:]:
        cells = [(name, cell.strip()) for name, cell in zip(header, row, strict=False)]
        heading = cells[asks][1] if asks is not None and asks < len(cells) else ""
        told = [(name, cell) for i, (name, cell) in enumerate(cells) if cell and not (heading and i == asks)]
        if heading and len(told) == 1:
            text = told[0][1]
        else:
            text = "\n".join(f"{name}: {cell}" if name else cell for name, cell in told)
        yield Section(" > ".join(filter(None, (prefix, heading))), text or heading)


def read_xlsx(content: bytes) -> ParsedDocument:
    """Each sheet as a table."""
    import openpyxl

    try:
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        sections = [
            section for sheet in book for section in _sheet(sheet.title, sheet.iter_rows(values_only=True))
        ]
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, TypeError, AttributeError) as error:
        raise Unreadable(DAMAGED) from error
    return ParsedDocument(tuple(sections))


def _sheet(title: str, rows: Iterable[tuple[object, ...]]) -> Iterator[Section]:
    cells = [["" if value is None else str(value) for value in row] for row in rows]
    return _rows_to_sections([row for row in cells if any(row)], title)


def read_pptx(content: bytes) -> ParsedDocument:
    """A section for each slide: its title, its text, its notes."""
    import pptx
    from pptx.exc import PackageNotFoundError

    try:
        slides = list(pptx.Presentation(io.BytesIO(content)).slides)
        sections = [_slide(number, slide) for number, slide in enumerate(slides, start=1)]
    except (PackageNotFoundError, zipfile.BadZipFile, KeyError, ValueError, OSError, AttributeError) as error:
        raise Unreadable(DAMAGED) from error
    return ParsedDocument(tuple(section for section in sections if section.text))


def _slide(number: int, slide: "pptx.slide.Slide") -> Section:  # type: ignore[name-defined]  # noqa: F821
    title = slide.shapes.title
    texts = [shape.text_frame.text for shape in slide.shapes if shape.has_text_frame and shape != title]
    for shape in slide.shapes:
        if shape.has_table:
            texts += [" | ".join(cell.text for cell in row.cells) for row in shape.table.rows]
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame:
        texts.append(slide.notes_slide.notes_text_frame.text)
    heading = (title.text_frame.text.strip() if title else "") or f"Slide {number}"
    return Section(heading, "\n".join(text.strip() for text in texts if text.strip()))


READERS: dict[str, Callable[[bytes], ParsedDocument]] = {
    "text": read_text,
    "markdown": read_markdown,
    "html": read_html,
    "pdf": read_pdf,
    "docx": read_docx,
    "csv": read_csv,
    "xlsx": read_xlsx,
    "pptx": read_pptx,
}
