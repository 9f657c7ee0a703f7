"""What the classifier sees of a text's wording; a stored model fits one version of this file only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

# scikit-learn and SciPy take seconds and 80 MB to import: only a process that routes pays for them.
if TYPE_CHECKING:
    import scipy.sparse as sp
    from sklearn.feature_extraction.text import TfidfVectorizer

FEATURES_VERSION = 1
MAX_CHARS = 2_000
DIGIT = re.compile(r"\d")


def normalise_text(text: str) -> str:
    """Clip to 2,000 characters, collapse white space, map every digit to 0: order numbers look alike."""
    return DIGIT.sub("0", " ".join(text[:MAX_CHARS].split()))


def _word_vectorizer() -> TfidfVectorizer:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(
        preprocessor=_prepare,
        ngram_range=(1, 2),
        token_pattern=r"(?u)\b\w+\b",  # noqa: S106
        sublinear_tf=True,
        dtype=np.float32,
    )


def _char_vectorizer() -> TfidfVectorizer:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(
        preprocessor=_prepare, analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True, dtype=np.float32
    )


def _prepare(text: str) -> str:
    return normalise_text(text).lower()


def _share_known(grams: list[str], known: dict[str, int]) -> float:
    return sum(gram in known for gram in grams) / len(grams) if grams else 0.0


@dataclass(frozen=True)
class WordingFeatures:
    """Word 1-2-gram and character 2-4-gram TF-IDF, each of unit length."""

    words: TfidfVectorizer
    chars: TfidfVectorizer

    @classmethod
    def fit(cls, texts: Sequence[str]) -> WordingFeatures:
        """Learn both vocabularies."""
        return cls(_word_vectorizer().fit(texts), _char_vectorizer().fit(texts))

    @classmethod
    def restore(
        cls, words: list[str], word_idf: NDArray[np.float32], chars: list[str], char_idf: NDArray[np.float32]
    ) -> WordingFeatures:
        """Rebuild from `vocabulary()`: terms in column order and their weights."""
        restored = cls(_word_vectorizer(), _char_vectorizer())
        for vectorizer, terms, idf in ((restored.words, words, word_idf), (restored.chars, chars, char_idf)):
            vectorizer.vocabulary_ = {term: column for column, term in enumerate(terms)}
            vectorizer.fixed_vocabulary_ = True
            vectorizer.idf_ = idf
        return restored

    def transform(self, texts: Sequence[str]) -> sp.csr_matrix:
        """One row a text, word columns first."""
        import scipy.sparse as sp

        return sp.hstack([self.words.transform(texts), self.chars.transform(texts)], format="csr")

    def familiarity(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The share of each text's character trigrams that the training texts had; 0 when it has none.

        Low for gibberish and for scripts never seen.
        """
        known = self.chars.vocabulary_
        return np.array([_share_known(self._trigrams(text), known) for text in texts], dtype=np.float32)

    def _trigrams(self, text: str) -> list[str]:
        return [gram for gram in self.chars.build_analyzer()(text) if len(gram) == 3]

    def vocabulary(self) -> tuple[list[str], NDArray[np.float32], list[str], NDArray[np.float32]]:
        """Word terms, their weights, character terms, their weights; all in column order."""
        return (
            list(self.words.get_feature_names_out()),
            np.asarray(self.words.idf_, dtype=np.float32),
            list(self.chars.get_feature_names_out()),
            np.asarray(self.chars.idf_, dtype=np.float32),
        )
