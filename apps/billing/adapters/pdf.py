"""An invoice as PDF, by reportlab: the same invoice gives the same bytes."""

from functools import partial
from io import BytesIO
from typing import Any
from xml.sax.saxutils import escape

from reportlab.lib import colors
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle, getSampleStyleSheet
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from apps.billing.contracts import InvoiceView
from apps.billing.invoice_table import list_rows, write_total
from apps.billing.money import write_period

STYLES = getSampleStyleSheet()
TEXT, TITLE = STYLES["BodyText"], STYLES["Title"]
RIGHT = ParagraphStyle("right", parent=TEXT, alignment=TA_RIGHT)
SMALL = ParagraphStyle("small", parent=TEXT, fontSize=8, textColor=colors.HexColor("#5b625d"), leading=10)
WIDTHS = [110 * mm, 32 * mm, 32 * mm]
LINES = TableStyle(
    [
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LINEBELOW", (0, 0), (-1, 0), 0.8, colors.HexColor("#1f2421")),
        ("LINEBELOW", (0, 1), (-1, -2), 0.3, colors.HexColor("#dddcd5")),
        ("LINEABOVE", (0, -1), (-1, -1), 0.8, colors.HexColor("#1f2421")),
    ]
)


def draw_invoice(invoice: InvoiceView, *, company: str) -> bytes:
    """Return the invoice's PDF with title, language, page numbers and a table whose head repeats."""
    title = f"Invoice {invoice.number}"
    target = BytesIO()
    document = SimpleDocTemplate(
        target,
        pagesize=A4,
        title=title,
        author="AIaaS",
        subject=f"{company}, {write_period(invoice.period, invoice.time_zone)}",
        lang="en",
        invariant=1,
        leftMargin=18 * mm,
        rightMargin=18 * mm,
        topMargin=18 * mm,
        bottomMargin=20 * mm,
    )
    number_page = partial(_number_page, title)
    story = [*_head(invoice, title, company), _lines(invoice), Spacer(1, 6 * mm), *_foot(invoice)]
    document.build(story, onFirstPage=number_page, onLaterPages=number_page)
    return target.getvalue()


def _head(invoice: InvoiceView, title: str, company: str) -> list[Any]:
    facts = [
        f"<b>{escape(company)}</b>",
        f"Plan: {escape(invoice.plan_name)}",
        f"Period: {write_period(invoice.period, invoice.time_zone)} ({invoice.time_zone})",
        f"Date: {invoice.finalised_at:%d %B %Y}" if invoice.finalised_at else "",
    ]
    return [Paragraph(title, TITLE), *(Paragraph(fact, TEXT) for fact in facts), Spacer(1, 6 * mm)]


def _lines(invoice: InvoiceView) -> Table:
    head = [Paragraph("<b>Description</b>", TEXT)]
    head += [Paragraph(f"<b>{name}</b>", RIGHT) for name in ("Quantity", "Amount")]
    rows = [
        [
            [Paragraph(escape(row.description), TEXT), *_small(row.notes)],
            Paragraph(row.quantity, RIGHT),
            Paragraph(row.amount, RIGHT),
        ]
        for row in list_rows(invoice)
    ]
    total = [Paragraph("<b>Total</b>", TEXT), "", Paragraph(f"<b>{write_total(invoice)}</b>", RIGHT)]
    return Table([head, *rows, total], colWidths=WIDTHS, repeatRows=1, style=LINES)


def _small(notes: tuple[str, ...]) -> list[Paragraph]:
    return [Paragraph(escape(note), SMALL) for note in notes]


def _foot(invoice: InvoiceView) -> list[Any]:
    if invoice.stored_until is None:
        return []
    text = (
        f"Computed from {invoice.event_count:,} usage events that were stored until "
        f"{invoice.stored_until:%Y-%m-%d %H:%M:%S} UTC, checksum {invoice.checksum}. "
        "Each line is rounded once, half up, to whole cents."
    )
    return [Paragraph(text, SMALL)]


def _number_page(title: str, canvas: Canvas, document: Any) -> None:
    canvas.saveState()
    canvas.setFont("Helvetica", 8)
    canvas.drawString(18 * mm, 12 * mm, title)
    canvas.drawRightString(A4[0] - 18 * mm, 12 * mm, f"Page {document.page}")
    canvas.restoreState()
