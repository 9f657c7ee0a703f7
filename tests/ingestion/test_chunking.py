"""Passages, terms and fusion: the pure parts of retrieval."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.ingestion.chunking import MAX_TOKENS, chunk_sections
from apps.ingestion.fusion import Candidate, fuse, weigh_full_text
from apps.ingestion.parsing.contracts import Section
from apps.ingestion.terms import build_tsvector, fold, read_query

WORDS = st.text(alphabet="abcdefgh .!?\n-", max_size=600)


def words_in(text: str) -> int:
    return len(text.split())


def test_passages_are_whole_sentences_of_even_size() -> None:
    text = " ".join(f"This is sentence number {number} of the text." for number in range(110))
    passages = chunk_sections((Section("Part", text),), count=words_in)
    sizes = [passage.token_count for passage in passages]
    assert len(passages) == 5
    assert max(sizes) - min(sizes) <= 16
    assert all(passage.text.startswith("This") and passage.text.endswith(".") for passage in passages)
    assert " ".join(passage.text for passage in passages) == text


def test_sections_do_not_mix_but_rows_of_a_table_do() -> None:
    sections = (Section("A", "One."), Section("B", "Two."), Section("B", "Three."))
    passages = chunk_sections(sections, count=words_in)
    assert [(passage.heading, passage.text) for passage in passages] == [("A", "One."), ("B", "Two. Three.")]


@given(st.lists(st.tuples(st.sampled_from(["A", "B"]), WORDS), max_size=4))
def test_no_word_is_lost_and_no_passage_is_too_long(parts: list[tuple[str, str]]) -> None:
    sections = tuple(Section(heading, text) for heading, text in parts)
    passages = chunk_sections(sections, count=len)
    assert all(len(passage.text.replace("\n", "")) <= 2 * MAX_TOKENS for passage in passages)
    assert "".join("".join(passage.text for passage in passages).split()) == "".join(
        "".join(section.text for section in sections).split()
    )


@pytest.mark.parametrize(
    ("query", "language", "expected"),
    [
        ("How do I return shoes?", "en", [("return",), ("shoes", "shoe")]),
        ("HG-2041-B", "en", [("hg2041b",), ("hg",), ("2041",), ("b",)]),
        ("Österreich", "de", [("osterreich",)]),
        ("Bestellungen", "de", [("bestellungen", "bestell")]),
        ("返品", "ja", [("返品",)]),
        ("where is", "en", [("where",), ("is",)]),
        ("'&|!", "en", []),
    ],
)
def test_a_query_becomes_terms(query: str, language: str, expected: list[tuple[str, ...]]) -> None:
    assert [word.terms for word in read_query(query, language=language)] == expected


def test_identifiers_are_known_by_their_digits() -> None:
    words = read_query("order AB-1042 please", language="en")
    assert {term: word.is_identifier for word in words for term in word.terms[:1]} == {
        "order": False,
        "ab1042": True,
        "ab": False,
        "1042": True,
    }


@settings(max_examples=100)
@given(st.text(max_size=200), st.sampled_from(["en", "de", "zh", "und", "ar"]))
def test_any_text_can_be_written_as_terms(text: str, language: str) -> None:
    written = build_tsvector(text, language=language)
    assert "\x00" not in written
    for word in read_query(text, language=language):
        assert word.terms
        assert all(word.terms)


def test_folding_drops_latin_accents_only() -> None:
    assert fold("Crème BRÛLÉE") == "creme brulee"
    assert fold("हिन्दी") == "हिन्दी"
    assert fold("ガ") == "ガ"


def candidate(
    lexical: float, cosine: float | None, title: float | None = None, document: int = 1
) -> Candidate:
    from uuid import UUID, uuid4

    return Candidate(uuid4(), UUID(int=document), lexical, cosine, title)


def test_words_decide_only_as_far_as_vectors_cannot() -> None:
    assert weigh_full_text(reads_meaning=True, exact=0) == pytest.approx(0.2)
    assert weigh_full_text(reads_meaning=True, exact=1) == 1
    assert weigh_full_text(reads_meaning=False, exact=0) == 1


def test_a_title_lifts_its_passages_and_keeps_their_order() -> None:
    weak, strong = candidate(0, 0.3, 0.8), candidate(0, 0.5, 0.8)
    other = candidate(0, 0.7, 0.1, document=2)
    ranked = fuse([weak, other, strong], full_text=0.2)
    assert [pair[0] for pair in ranked] == [strong, other, weak]
    assert ranked[0][1] == pytest.approx(0.8 * 0.8)


shares = st.floats(0, 1)


@given(st.lists(st.tuples(shares, st.floats(-1, 1), st.floats(-1, 1), st.integers(1, 3)), max_size=8), shares)
def test_fused_scores_stay_in_bounds_and_order(
    rows: list[tuple[float, float, float, int]], weight: float
) -> None:
    ranked = fuse([candidate(*row[:3], document=row[3]) for row in rows], full_text=weight)
    scores = [score for _, score in ranked]
    assert all(0 < score <= 1 for score in scores)
    assert scores == sorted(scores, reverse=True)


@given(shares, st.floats(0, 1), st.floats(0, 0.1))
def test_better_by_both_measures_is_never_behind(lexical: float, cosine: float, more: float) -> None:
    worse = candidate(lexical, cosine, document=1)
    better = candidate(min(1, lexical + more), min(1, cosine + more + 0.01), document=2)
    ranked = fuse([worse, better], full_text=0.2)
    assert not ranked or ranked[0][1] == max(score for _, score in ranked)
    assert [pair[0] for pair in ranked][:1] in ([], [better], [worse] if cosine == 1 else [better])
