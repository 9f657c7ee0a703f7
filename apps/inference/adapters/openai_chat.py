"""Any server that speaks OpenAI's chat completions, through the official client."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2  # what the official client speaks HTTP with
import openai
import orjson
from openai._types import RequestOptions

from apps.inference.adapters.prompt import NO_ANSWER, build_messages, read_citations
from apps.inference.contracts import ChatRequest, ChatResult, ModelRejected, ModelTimeout, ModelUnavailable
from apps.inference.ports import OnDelta

UNKNOWN = "I could not find an answer to that. I can pass your question on to a colleague."
CONNECT_TIMEOUT_S = 5.0
PATH = "/chat/completions"
NO_KEY = "none"  # servers of one's own often want none; the client insists on a value


@dataclass
class _Answer:
    """What has come so far."""

    text: str = ""
    finish_reason: str = ""
    model: str = ""
    usage: tuple[int, int] | None = None  # of prompt and completion
    held_back: str = field(default="", repr=False)

    def add(self, delta: str, on_delta: OnDelta) -> None:
        """Keep a piece; hold it back while the text may yet become the mark of an unknown answer."""
        self.text += delta
        self.held_back += delta
        if not NO_ANSWER.startswith(self.text.strip()) and not self.is_unknown:
            on_delta(self.held_back)
            self.held_back = ""

    @property
    def is_unknown(self) -> bool:
        """Whether the model says that it does not know."""
        return self.text.strip().startswith(NO_ANSWER)


class OpenAiChat:
    """One client for the process, with its connections; retries belong to the caller, not to the client.

    Answers are read as plain JSON: the client's models of every field take longer to build than to send.
    """

    provider = "openai"

    def __init__(
        self,
        *,
        api_key: str,
        base_url: str | None,
        price: Callable[[str, int, int], int],
        count_tokens: Callable[[str], int],
    ) -> None:
        self._client = openai.OpenAI(api_key=api_key or NO_KEY, base_url=base_url or None, max_retries=0)
        self._price = price
        self._count_tokens = count_tokens

    def complete(self, request: ChatRequest, on_delta: OnDelta | None = None) -> ChatResult:
        """Ask the server; stream when somebody listens."""
        with _translate_errors(request):
            answer = self._stream(request, on_delta) if on_delta else self._ask(request)
        if answer.is_unknown:
            answer.text = UNKNOWN
            return self._result(request, answer, knows=False)
        if not answer.text.strip():
            if answer.finish_reason == "content_filter":
                raise ModelRejected("The model's content filter refused to answer")
            raise ModelUnavailable("The model's server sent an empty answer")
        if on_delta and answer.held_back:
            on_delta(answer.held_back)
        return self._result(request, answer, knows=True)

    def _ask(self, request: ChatRequest) -> _Answer:
        body, options = _body(request), _timeout(request)
        completion: Any = self._client.post(PATH, cast_to=object, body=body, options=options)
        choice = completion["choices"][0]
        return _Answer(
            text=choice["message"].get("content") or "",
            finish_reason=choice.get("finish_reason") or "stop",
            model=completion.get("model") or "",
            usage=_usage(completion),
        )

    def _stream(self, request: ChatRequest, on_delta: OnDelta) -> _Answer:
        deadline = time.monotonic() + request.timeout_s
        answer = _Answer()
        for chunk in self._chunks(request):
            if time.monotonic() > deadline:
                raise ModelTimeout(f"The model did not finish within {request.timeout_s:g} s")
            answer.model = chunk.get("model") or answer.model
            answer.usage = _usage(chunk) or answer.usage
            for choice in chunk.get("choices", ())[:1]:
                answer.finish_reason = choice.get("finish_reason") or answer.finish_reason
                if piece := choice["delta"].get("content"):
                    answer.add(piece, on_delta)
        if not answer.finish_reason:
            raise ModelUnavailable("The model's server broke off in the middle of its answer")
        return answer

    def _chunks(self, request: ChatRequest) -> Iterator[dict[str, Any]]:
        """Yield what the server sends, and read to its end: only then can the connection be used again."""
        body = _body(request) | {"stream": True, "stream_options": {"include_usage": True}}
        kind = openai.Stream[object]
        options = _timeout(request)
        with self._client.post(
            PATH, cast_to=object, body=body, options=options, stream=True, stream_cls=kind
        ) as stream:
            for line in stream.response.iter_lines():
                data = line.removeprefix("data:").strip() if line.startswith("data:") else ""
                if data and data != "[DONE]":
                    chunk: dict[str, Any] = orjson.loads(data)
                    if chunk.get("error"):
                        raise ModelUnavailable("The model's server broke off with an error")
                    yield chunk

    def _result(self, request: ChatRequest, answer: _Answer, *, knows: bool) -> ChatResult:
        prompt_tokens, completion_tokens = self._tokens(request, answer)
        return ChatResult(
            text=answer.text,
            citations=read_citations(answer.text, request.sources),
            provider=self.provider,
            model=answer.model or request.model,
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            cost_microusd=self._price(request.model, prompt_tokens, completion_tokens),
            finish_reason=answer.finish_reason,
            knows=knows,
        )

    def _tokens(self, request: ChatRequest, answer: _Answer) -> tuple[int, int]:
        if answer.usage is not None:
            return answer.usage
        prompt = "\n".join(message["content"] for message in build_messages(request))
        return self._count_tokens(prompt), self._count_tokens(answer.text)


def _body(request: ChatRequest) -> dict[str, Any]:
    return {
        "model": request.model,
        "messages": build_messages(request),
        "temperature": request.temperature,
        "max_tokens": request.max_tokens,
    }


def _timeout(request: ChatRequest) -> RequestOptions:
    connect_s = min(CONNECT_TIMEOUT_S, request.timeout_s)
    return {"timeout": httpx2.Timeout(request.timeout_s, connect=connect_s)}


def _usage(said: dict[str, Any]) -> tuple[int, int] | None:
    usage = said.get("usage")
    return (int(usage["prompt_tokens"]), int(usage["completion_tokens"])) if usage else None


@contextmanager
def _translate_errors(request: ChatRequest) -> Iterator[None]:
    """Say what went wrong without the server's words: they may repeat the key or the conversation."""
    try:
        yield
    except (openai.APITimeoutError, httpx2.TimeoutException):
        raise ModelTimeout(f"The model did not answer within {request.timeout_s:g} s") from None
    except openai.APIStatusError as error:
        raise _refusal(error.status_code, request.model) from None
    except (openai.APIError, httpx2.HTTPError, ValueError, LookupError, AttributeError, TypeError) as error:
        raise ModelUnavailable(f"The model's server broke off ({type(error).__name__})") from None


def _refusal(status: int, model: str) -> Exception:
    if status in {408, 504}:
        return ModelTimeout(f"The model's server gave up waiting ({status})")
    if status in {409, 429} or status >= 500:
        return ModelUnavailable(f"The model's server is overloaded or broken ({status})")
    advice = {
        401: "check OPENAI_API_KEY",
        403: "the key may not use this model",
        404: f"it does not know the model {model}",
        413: "the request is too large",
    }
    return ModelRejected(
        f"The model's server refused the request ({status}): {advice.get(status, 'bad request')}"
    )
