"""What the rest of the product asks of models: vectors, token counts, answers."""

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import structlog
from django.conf import settings

from apps.inference.contracts import ChatRequest, ChatResult, ModelTimeout, ModelUnavailable
from apps.inference.languages import detect_language, is_small_word
from apps.inference.memory import VectorMemory
from apps.inference.ports import ChatModel, Embedder, OnDelta
from apps.inference.prices import PRICES, price_tokens
from apps.inference.sentences import split_sentences
from apps.resilience.breaker import BreakerPolicy
from apps.resilience.outcomes import BreakerOpen
from apps.resilience.policies import Resilience
from apps.tenants.contracts import TenantRef

__all__ = [
    "answer_extractively",
    "complete_chat",
    "count_tokens",
    "detect_language",
    "embed_query",
    "embed_texts",
    "embedder_fingerprint",
    "is_small_word",
    "price_chat",
    "split_sentences",
]
log = structlog.get_logger(__name__)
# Nobody waits half a minute for a server that has just failed five times: the caller answers otherwise.
GUARD = Resilience(
    "chat_model",
    breaker=BreakerPolicy(failure_threshold=5, recovery_timeout_s=30),
    is_failure=lambda error: isinstance(error, ModelUnavailable | ModelTimeout),
)


@cache
def _embedder() -> Embedder:
    from apps.inference.adapters.minilm import MiniLmEmbedder

    return MiniLmEmbedder(models_dir=settings.DATA_DIR / "models", threads=settings.EMBEDDER_THREADS)


@cache
def _chat_model() -> ChatModel:
    if settings.OPENAI_API_KEY or settings.OPENAI_BASE_URL:
        from apps.inference.adapters.openai_chat import OpenAiChat

        return OpenAiChat(
            api_key=settings.OPENAI_API_KEY,
            base_url=settings.OPENAI_BASE_URL,
            price=price_chat,
            count_tokens=count_tokens,
        )
    return _extractive()


@cache
def _extractive() -> ChatModel:
    from apps.inference.adapters.extractive import ExtractiveModel

    return ExtractiveModel(embed=_embed_remembered, count_tokens=count_tokens)


def forget_models() -> None:
    """Drop the loaded models: threads and connections do not survive a fork, nor a change of settings."""
    _embedder.cache_clear()
    _chat_model.cache_clear()
    _extractive.cache_clear()
    _memory.cache_clear()


os.register_at_fork(after_in_child=forget_models)


@cache
def _memory() -> VectorMemory:
    return VectorMemory(_embedder().embed)


def _embed_remembered(texts: Sequence[str]) -> np.ndarray:
    return _memory().get(texts)


def embed_query(text: str) -> np.ndarray:
    """Return a unit vector of 384 float32, read-only; recent texts are remembered."""
    return _memory().get_one(text)


def embed_texts(texts: Sequence[str]) -> np.ndarray:
    """Return unit vectors, shape (len(texts), 384), float32; 256 tokens of each text count."""
    return _embedder().embed(texts)


def embedder_fingerprint() -> str:
    """Name the model and its precision: vectors of different fingerprints must not be compared."""
    return _embedder().fingerprint


def count_tokens(text: str) -> int:
    """Count the embedder's tokens of the whole text."""
    return _embedder().count_tokens(text)


def price_chat(model: str, prompt_tokens: int, completion_tokens: int) -> int:
    """Return the cost in micro-dollars by the price book and `settings.MODEL_PRICES`."""
    return price_tokens(
        model=model,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        book={**PRICES, **settings.MODEL_PRICES},
    )


def complete_chat(*, tenant: TenantRef, request: ChatRequest, on_delta: OnDelta | None = None) -> ChatResult:
    """Answer with the configured model; `on_delta` gets the text piece by piece, in this thread.

    Raises ModelUnavailable, ModelTimeout, ModelRejected. Must not be called inside a transaction.
    """
    model = _chat_model()
    started = time.perf_counter()
    result = (
        model.complete(request, on_delta)
        if model is _extractive()
        else _guarded(model, tenant, request, on_delta)
    )
    log.info(
        "chat_completed",
        tenant_id=str(tenant.id),
        provider=result.provider,
        model=result.model,
        prompt_tokens=result.prompt_tokens,
        completion_tokens=result.completion_tokens,
        cost_microusd=result.cost_microusd,
        knows=result.knows,
        duration_ms=round((time.perf_counter() - started) * 1000, 1),
    )
    return result


def _guarded(
    model: ChatModel, tenant: TenantRef, request: ChatRequest, on_delta: OnDelta | None
) -> ChatResult:
    try:
        return GUARD.call(
            lambda _timeout_s: model.complete(request, on_delta), key=request.model, owner=str(tenant.id)
        )
    except BreakerOpen as error:
        seconds = f"{error.retry_after_s:.0f} s"
        raise ModelUnavailable(f"The model has failed often; it is asked again in {seconds}") from None


def answer_extractively(
    *, tenant: TenantRef, request: ChatRequest, on_delta: OnDelta | None = None
) -> ChatResult:
    """Answer from the sources alone, in place of a model that failed; needs nothing outside this process."""
    return replace(_extractive().complete(request, on_delta), is_fallback=True)
