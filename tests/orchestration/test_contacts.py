import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.orchestration.tools.contacts import find_email, find_order_number, find_phone


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("Where is my order 1042?", "1042"),
        ("order #1042 please", "1042"),
        ("Order number: A-1042", "A-1042"),
        ("order no. 77", "77"),
        ("my ORD-2041 is late", "ORD-2041"),
        ("it is 104233, thanks", "104233"),
        ("I paid 1200 EUR in 2024", None),
        ("I paid 1200.50 for it", None),
        ("since 2023 nothing came", None),
        ("ann1042@example.com", None),
        ("in order to return 2 shirts", None),
        ("where is it", None),
    ],
)
def test_order_numbers_as_people_write_them(text, number) -> None:
    assert find_order_number([text]) == number


def test_the_newest_mention_counts() -> None:
    assert find_order_number(["order 11", "order 12 or order 13", "hello"]) == "13"
    assert find_email(["a@x.com", "rather B@X.com."]) == "b@x.com"


@pytest.mark.parametrize(
    ("text", "phone"),
    [("call +1 (555) 010-9999", "+1 (555) 010-9999"), ("order 1042", None), ("a@b.co", None)],
)
def test_phone_numbers(text, phone) -> None:
    assert find_phone([text]) == phone


@given(st.lists(st.text(max_size=300), max_size=4))
def test_no_text_breaks_the_search(texts) -> None:
    said = "\n".join(texts)
    assert set((find_order_number(texts) or "").upper()) <= {*said.upper(), " "}
    assert (find_email(texts) or "") in said.lower()
    assert set(find_phone(texts) or "") <= {*said, " "}  # an address within a number reads as a gap
