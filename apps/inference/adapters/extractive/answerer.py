"""Builds the answer: small talk, then facts, then cited sentences, else an honest no."""

from collections.abc import Callable, Iterator

from apps.inference.adapters.extractive.facts import describe_facts
from apps.inference.adapters.extractive.ranking import Embed, RankedSentence, rank_sentences
from apps.inference.adapters.extractive.smalltalk import answer_smalltalk
from apps.inference.contracts import ChatRequest, ChatResult, Citation
from apps.inference.ports import OnDelta

MODEL = "extractive-1"
UNKNOWN = "I could not find an answer to that in our help pages. I can pass your question on to a colleague."
MIN_EVIDENCE = 0.4
MAX_SENTENCES = 3
MIN_SHARE_OF_BEST = 0.85
SAME_MEANING = 0.92
SHORT_SENTENCE_CHARS = 40


class ExtractiveModel:
    """Quotes instead of composing: nothing it says about the tenant is made up."""

    provider = "extractive"

    def __init__(self, *, embed: Embed, count_tokens: Callable[[str], int]) -> None:
        self._embed = embed
        self._count_tokens = count_tokens

    def complete(self, request: ChatRequest, on_delta: OnDelta | None = None) -> ChatResult:
        """Answer at once; never raises for want of a source, but says that it does not know."""
        pieces, citations, knows = self._compose(request)
        if on_delta:
            for piece in pieces:
                on_delta(piece)
        text = "".join(pieces)
        prompt = "\n".join((request.question, *(source.text for source in request.sources)))
        return ChatResult(
            text=text,
            citations=citations,
            provider=self.provider,
            model=MODEL,
            prompt_tokens=self._count_tokens(prompt),
            completion_tokens=self._count_tokens(text),
            knows=knows,
        )

    def _compose(self, request: ChatRequest) -> tuple[list[str], tuple[Citation, ...], bool]:
        facts = describe_facts(request.facts)
        if facts:
            return [facts], (), True
        smalltalk = answer_smalltalk(request.question)
        if smalltalk:
            return [smalltalk], (), True
        chosen = choose_sentences(rank_sentences(request.question, request.sources, self._embed))
        if not chosen:
            return [UNKNOWN], (), False
        citations = _cite(chosen)
        return list(_join(chosen, citations)), citations, True


def choose_sentences(ranked: list[RankedSentence]) -> list[RankedSentence]:
    """Pick the best sentence and those that add to it, in reading order; none without evidence."""
    if not ranked or max(sentence.evidence for sentence in ranked) < MIN_EVIDENCE:
        return []
    best = ranked[0]
    chosen = [best, *_continuation(best, ranked)]
    for sentence in ranked[1:]:
        is_good = sentence.score >= best.score * MIN_SHARE_OF_BEST
        is_new = all(float(sentence.vector @ other.vector) < SAME_MEANING for other in chosen)
        if is_good and is_new and len(chosen) < MAX_SENTENCES:
            chosen.append(sentence)
    sources = list(dict.fromkeys(sentence.source.chunk_id for sentence in chosen))
    return sorted(chosen, key=lambda sentence: (sources.index(sentence.source.chunk_id), sentence.position))


def _continuation(best: RankedSentence, ranked: list[RankedSentence]) -> Iterator[RankedSentence]:
    if len(best.text) >= SHORT_SENTENCE_CHARS and not best.text.endswith((":", "?")):
        return
    for sentence in ranked:
        is_same_source = sentence.source.chunk_id == best.source.chunk_id
        if is_same_source and sentence.position == best.position + 1:
            yield sentence


def _cite(chosen: list[RankedSentence]) -> tuple[Citation, ...]:
    by_chunk: dict[object, list[RankedSentence]] = {}
    for sentence in chosen:
        by_chunk.setdefault(sentence.source.chunk_id, []).append(sentence)
    return tuple(
        Citation(
            index=index,
            document_id=sentences[0].source.document_id,
            chunk_id=sentences[0].source.chunk_id,
            title=sentences[0].source.title,
            quote=" ".join(sentence.text for sentence in sentences),
            url=sentences[0].source.url,
        )
        for index, sentences in enumerate(by_chunk.values(), start=1)
    )


def _join(chosen: list[RankedSentence], citations: tuple[Citation, ...]) -> Iterator[str]:
    marks = {citation.chunk_id: citation.index for citation in citations}
    for number, sentence in enumerate(chosen):
        text = sentence.text.lstrip("-*•>#| ").rstrip(" |")
        yield f"{' ' if number else ''}{text} [{marks[sentence.source.chunk_id]}]"
