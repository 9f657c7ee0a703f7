"""CSV in, with line numbers."""

import csv
import io
from collections.abc import Iterator, Sequence

from apps.crm.contracts import CsvRow
from apps.resilience.errors import InvalidInput
from apps.tenants.spreadsheets import unescape

MAX_BYTES = 10 * 1024 * 1024
MAX_ROWS = 20_000
DELIMITERS = ",;\t"


def read_csv(raw: bytes, *, columns: Sequence[str], required: Sequence[str]) -> list[CsvRow]:
    """Read rows by their header; blank lines are left out, cells are without outer white space.

    The delimiter is a comma, semicolon or tab, whichever the header has most of.
    Raises InvalidInput under `file` for what is wrong with the file as a whole, and by line for
    rows that are longer than the header.
    """
    written = _decode(raw)
    first_line = written.split("\n", 1)[0]
    delimiter = max(DELIMITERS, key=first_line.count)
    reader = csv.reader(io.StringIO(written, newline=""), delimiter=delimiter, strict=True)
    try:
        header = _check_header(next(reader, []), columns, required)
        return list(_rows(reader, header))
    except csv.Error as exc:
        raise InvalidInput({"file": [f"Line {reader.line_num} is not CSV: {exc}."]}) from exc


def _decode(raw: bytes) -> str:
    if len(raw) > MAX_BYTES:
        raise InvalidInput({"file": [f"The file is larger than {MAX_BYTES // 1024**2} MB; split it."]})
    try:
        written = raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise InvalidInput({"file": ["The file is not UTF-8; save it as “CSV UTF-8”."]}) from exc
    if "\x00" in written:
        raise InvalidInput({"file": ["The file holds NUL characters; save it as plain CSV."]})
    if not written.strip():
        raise InvalidInput({"file": ["The file is empty; give a header line and rows."]})
    return written


def _check_header(cells: list[str], columns: Sequence[str], required: Sequence[str]) -> list[str]:
    header = [cell.strip().lower() for cell in cells]
    unknown = [name for name in header if name not in columns]
    missing = [name for name in required if name not in header]
    problems = []
    if unknown:
        problems.append(f"Unknown columns: {', '.join(unknown)[:200]}. Known are {', '.join(columns)}.")
    if missing:
        problems.append(f"Missing columns: {', '.join(missing)}.")
    if len(set(header)) < len(header):
        problems.append("A column is there twice.")
    if problems:
        raise InvalidInput({"file": problems})
    return header


def _rows(reader: Iterator[list[str]], header: list[str]) -> Iterator[CsvRow]:
    line = reader.line_num + 1  # type: ignore[attr-defined]
    for count, cells in enumerate(reader, 1):
        if count > MAX_ROWS:
            raise InvalidInput({"file": [f"The file has more than {MAX_ROWS} rows; split it."]})
        if len(cells) > len(header):
            cause = f"{len(cells)} cells, but {len(header)} columns; put quotes around cells with commas."
            raise InvalidInput({f"line {line}": [cause]})
        if any(cell.strip() for cell in cells):
            values = (unescape(cell.strip()) for cell in cells)
            yield CsvRow(line, dict(zip(header, values, strict=False)))
        line = reader.line_num + 1  # type: ignore[attr-defined]
