"""A trained classifier: reads a text and its embedding, answers with probabilities and a scope verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.routing.classifier.calibration import softmax
from apps.routing.classifier.features import WordingFeatures

Matrix = NDArray[np.float32]
SIMILARITY_WEIGHT = 0.5
SCOPE_SIMILARITY_WEIGHT = 4.0
SCOPE_FAMILIARITY_WEIGHT = 2.0
SCOPE_NEIGHBOURS = 5
ROWS_AT_ONCE = 512


@dataclass(frozen=True)
class Prediction:
    """`probabilities` maps every intent to its probability, likeliest first."""

    probabilities: dict[str, float]
    in_scope: bool
    nearest_example: str
    nearest_similarity: float


@dataclass(frozen=True)
class Scores:
    """Row by row: a score for each intent, a score for belonging here at all, the closest example."""

    intents: Matrix
    scope: NDArray[np.float32]
    nearest: NDArray[np.int64]
    similarity: NDArray[np.float32]


@dataclass(frozen=True)
class LinearScorer:
    """Linear margins over wording and meaning, plus how close each intent's nearest example is.

    Examples are sorted by intent; `first_example[i]` is where intent i begins. Embeddings have unit length.
    """

    wording: WordingFeatures
    wording_weights: Matrix
    embedding_weights: Matrix
    bias: NDArray[np.float32]
    example_embeddings: Matrix
    first_example: NDArray[np.int64]

    def score(self, texts: Sequence[str], embeddings: Matrix) -> Scores:
        """Score texts against every intent."""
        margins = self.wording.transform(texts) @ self.wording_weights
        margins = margins + embeddings @ self.embedding_weights + self.bias
        similarities = embeddings @ self.example_embeddings.T
        nearest_of_intent = np.maximum.reduceat(similarities, self.first_example, axis=1)
        count = min(SCOPE_NEIGHBOURS, similarities.shape[1])
        neighbours = np.partition(similarities, -count, axis=1)[:, -count:].mean(axis=1)
        intents = margins + SIMILARITY_WEIGHT * nearest_of_intent
        nearest = self._nearest_of_best(intents, similarities)
        return Scores(
            intents=intents,
            scope=margins.max(axis=1)
            + SCOPE_SIMILARITY_WEIGHT * neighbours
            + SCOPE_FAMILIARITY_WEIGHT * self.wording.familiarity(texts),
            nearest=nearest,
            similarity=similarities[np.arange(len(texts)), nearest],
        )

    def _nearest_of_best(self, intents: Matrix, similarities: Matrix) -> NDArray[np.int64]:
        """Find the likest example of each row's best intent: one of another intent would explain nothing."""
        ends = [*self.first_example[1:], similarities.shape[1]]
        spans = [(self.first_example[best], ends[best]) for best in intents.argmax(axis=1)]
        rows = zip(similarities, spans, strict=True)
        return np.array([start + row[start:end].argmax() for row, (start, end) in rows], dtype=np.int64)

    def score_in_batches(self, texts: Sequence[str], embeddings: Matrix) -> Scores:
        """Score many texts in bounded memory."""
        parts = [
            self.score(texts[start : start + ROWS_AT_ONCE], embeddings[start : start + ROWS_AT_ONCE])
            for start in range(0, len(texts), ROWS_AT_ONCE)
        ]
        return Scores(
            intents=np.concatenate([part.intents for part in parts]),
            scope=np.concatenate([part.scope for part in parts]),
            nearest=np.concatenate([part.nearest for part in parts]),
            similarity=np.concatenate([part.similarity for part in parts]),
        )


@dataclass(frozen=True)
class IntentClassifier:
    """A scorer, calibrated: `temperature` for probabilities, `scope_threshold` for what belongs here."""

    intents: tuple[str, ...]
    scorer: LinearScorer
    temperature: float
    scope_threshold: float
    example_texts: tuple[str, ...]
    fingerprint: str

    def predict(self, text: str, embedding: NDArray[np.float32]) -> Prediction:
        """Classify one text; `embedding` is its unit vector from the embedder the model was trained with."""
        scores = self.scorer.score([text], embedding.reshape(1, -1))
        probabilities = softmax(scores.intents, self.temperature)[0]
        order = np.argsort(-probabilities)
        return Prediction(
            probabilities={self.intents[i]: float(probabilities[i]) for i in order},
            in_scope=bool(scores.scope[0] >= self.scope_threshold),
            nearest_example=self.example_texts[scores.nearest[0]],
            nearest_similarity=float(scores.similarity[0]),
        )

    def taught(self) -> Iterator[tuple[str, str]]:
        """Yield each example that it has learnt, as (text, intent)."""
        starts = self.scorer.first_example
        counts = np.diff([*starts, len(self.example_texts)])
        return zip(self.example_texts, np.repeat(self.intents, counts).tolist(), strict=True)

    @property
    def size_bytes(self) -> int:
        """Roughly what the model occupies in memory."""
        scorer = self.scorer
        arrays = (scorer.wording_weights, scorer.embedding_weights, scorer.example_embeddings)
        return sum(array.nbytes for array in arrays) + 150 * len(scorer.wording_weights)
