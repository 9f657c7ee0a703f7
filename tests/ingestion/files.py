"""Files as people upload them, and as nobody should."""

import io
import zipfile

import docx
import openpyxl
import pptx
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen.canvas import Canvas


def make_pdf(*pages: str, password: str = "", title: str = "") -> bytes:
    """One string a page, one line a sentence; an empty page holds a picture only."""
    buffer = io.BytesIO()
    encryption = StandardEncryption(password) if password else None
    canvas = Canvas(buffer, encrypt=encryption)
    if title:
        canvas.setTitle(title)
    for page in pages:
        for number, line in enumerate(page.splitlines()):
            canvas.drawString(40, 780 - 16 * number, line)
        if not page:
            canvas.rect(40, 400, 200, 200, fill=1)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def make_docx() -> bytes:
    document = docx.Document()
    document.add_heading("Handbook", level=1)
    document.add_heading("Returns", level=2)
    document.add_paragraph("Send it back if x < 5 & y > 3.")
    table = document.add_table(rows=1, cols=2)
    table.rows[0].cells[0].text, table.rows[0].cells[1].text = "Fee", "4 euros"
    return _saved(document)


def make_xlsx() -> bytes:
    book = openpyxl.Workbook()
    book.active.title = "Prices"
    book.active.append(["Product", "Price"])
    book.active.append(["Lamp", 49])
    return _saved(book)


def make_pptx() -> bytes:
    deck = pptx.Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[1])
    slide.shapes.title.text = "Warranty"
    slide.placeholders[1].text = "Two years on all lamps."
    slide.notes_slide.notes_text_frame.text = "Say that bulbs are excluded."
    return _saved(deck)


def make_zip(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/"), content)
    return buffer.getvalue()


def make_bomb() -> bytes:
    """A docx of some hundred kilobytes that unpacks to 300 MB."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", "<w:document>")
        with archive.open("word/media/bomb.xml", "w", force_zip64=True) as member:
            for _ in range(300):
                member.write(b"\0" * 1024 * 1024)
    return buffer.getvalue()


def _saved(document: object) -> bytes:
    buffer = io.BytesIO()
    document.save(buffer)  # type: ignore[attr-defined]
    return buffer.getvalue()
