"""One order from two ways of searching, such that the weaker does not drag the stronger down.

Ranks forget by how much one passage beats the next, so fusing ranks lets a poor list overrule a good one.
Here both measures are absolute: likeness is a cosine, `lexical` the weighted share of the query's words that
a passage holds. Their weighted mean moves a passage only as far as it is really better. How far full text
counts depends on what the embedder can read: a fifth for plain words, more with the share of identifiers
(order numbers, product codes) among them, all of it in a language it does not know.
docs/decisions/0007-hybrid-retrieval.md has the figures.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

LEXICAL_WEIGHT = 0.2


@dataclass(frozen=True, slots=True)
class Candidate:
    """A passage and its measures; the cosines are None when nothing was asked by vector."""

    chunk_id: UUID
    document_id: UUID
    lexical: float
    cosine: float | None
    title_cosine: float | None


def weigh_full_text(*, reads_meaning: bool, exact: float) -> float:
    """Return the weight of full text; `exact` is the share of identifiers in the query, 0..1."""
    if not reads_meaning:
        return 1.0
    return LEXICAL_WEIGHT + (1 - LEXICAL_WEIGHT) * exact


def fuse(candidates: Iterable[Candidate], *, full_text: float) -> list[tuple[Candidate, float]]:
    """Return candidates with their scores, best first; those without any score are left out.

    A title nearer to the query than every passage below it lifts them all, so that the best of them
    counts as much as the title.
    """
    candidates = list(candidates)
    best: dict[UUID, float] = {}
    for candidate in candidates:
        best[candidate.document_id] = max(best.get(candidate.document_id, -1.0), candidate.cosine or 0.0)
    scored = []
    for candidate in candidates:
        lift = max(0.0, (candidate.title_cosine or 0.0) - best[candidate.document_id])
        meaning = max(0.0, (candidate.cosine or 0.0) + lift)
        score = (1 - full_text) * meaning + full_text * candidate.lexical
        scored.append((candidate, min(score, 1.0)))
    scored.sort(key=lambda pair: (-pair[1], pair[0].chunk_id))
    return [pair for pair in scored if pair[1] > 0]
