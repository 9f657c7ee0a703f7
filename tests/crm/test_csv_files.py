import csv
import io
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.crm.csv_files import read_csv
from apps.resilience.errors import InvalidInput
from apps.tenants.spreadsheets import FORMULA_STARTS, write_csv

COLUMNS = ("a", "b")
CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20).map(str.strip)


def problems(raw: bytes) -> dict[str, list[str]]:
    with pytest.raises(InvalidInput) as refused:
        read_csv(raw, columns=COLUMNS, required=("a",))
    return refused.value.errors


# Building the tables of characters is slow on a busy machine, once.
unhurried = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)


@unhurried
@given(st.lists(st.tuples(CELLS.filter(bool), CELLS), max_size=10))
def test_what_is_written_is_read_back(rows):
    raw = "".join(write_csv(COLUMNS, rows)).encode()
    read = read_csv(raw, columns=COLUMNS, required=())
    assert [(row.values["a"], row.values["b"]) for row in read] == rows


@unhurried
@given(st.sampled_from(FORMULA_STARTS), CELLS)
def test_no_cell_is_a_formula(start, rest):
    written = "".join(write_csv(COLUMNS, [(start + rest, "")]))
    cells = list(csv.reader(io.StringIO(written, newline="")))[1]
    assert not cells[0].startswith(FORMULA_STARTS)


@unhurried
@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(raw):
    with suppress(InvalidInput):
        rows = read_csv(raw, columns=COLUMNS, required=())
        assert all(set(row.values) <= set(COLUMNS) for row in rows)


def test_lines_are_those_of_the_file():
    raw = b'a,b\r\n1,"two\nlines"\r\n\r\n  ,\r\n3,4\r\n'
    rows = read_csv(raw, columns=COLUMNS, required=())
    assert [(row.line, row.values) for row in rows] == [
        (2, {"a": "1", "b": "two\nlines"}),
        (6, {"a": "3", "b": "4"}),
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiters_byte_order_mark_and_case_of_the_header(delimiter):
    raw = f"\ufeffA{delimiter} B \n1{delimiter}2\n".encode()
    assert read_csv(raw, columns=COLUMNS, required=("a",))[0].values == {"a": "1", "b": "2"}


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "empty"),
        (b"\xff\xfe", "UTF-8"),
        (b"a,b\n\x00,1", "NUL"),
        (b"b\n1", "Missing columns: a"),
        (b"a,c\n1,2", "Unknown columns: c"),
        (b"a,a\n1,2", "twice"),
        (b'a,b\n1,"2', "Line 2 is not CSV"),
        (b"a,b\n" + b"1,2\n" * 20_001, "more than 20000 rows"),
        (b"a" * (10 * 1024**2 + 1), "larger than 10 MB"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(raw, words):
    assert words in " ".join(problems(raw)["file"])


def test_a_row_longer_than_the_header_is_named():
    assert "quotes" in problems(b"a,b\n1,2\n1,2,3\n")["line 3"][0]
