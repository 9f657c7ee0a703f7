"""The objects of OpenAI's chat completions API, as plain dicts."""

import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": still working\n\n"


@dataclass(frozen=True)
class Usage:
    """Tokens that the answer took."""

    prompt_tokens: int
    completion_tokens: int

    def as_json(self) -> dict[str, int]:
        total = self.prompt_tokens + self.completion_tokens
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": total,
        }


@dataclass(frozen=True)
class Answer:
    """A finished reply; `sources` and `receipt` are our additions to OpenAI's shape."""

    text: str
    usage: Usage
    sources: list[dict[str, Any]]
    receipt: dict[str, Any] | None


class Completion:
    """Shape one request's answer, whole or in chunks, under one id."""

    def __init__(
        self, *, run_id: UUID, model: str, conversation_id: UUID, include_usage: bool = False
    ) -> None:
        self._base = {"id": f"chatcmpl-{run_id.hex}", "created": int(time.time()), "model": model}
        self._ours = {"conversation_id": str(conversation_id)}
        self._include_usage = include_usage

    def whole(self, answer: Answer) -> dict[str, Any]:
        """Return a `chat.completion`."""
        message = {"role": "assistant", "content": answer.text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        extra = {"usage": answer.usage.as_json(), "sources": answer.sources, "receipt": answer.receipt}
        return {**self._base, "object": "chat.completion", "choices": [choice], **extra, **self._ours}

    def opening(self) -> bytes:
        """Return the first chunk, which names the role."""
        return self._chunk({"role": "assistant", "content": ""}, None)

    def delta(self, text: str) -> bytes:
        """Return a chunk of text."""
        return self._chunk({"content": text}, None)

    def closing(self, answer: Answer) -> bytes:
        """Return the last events: the choice's end with our additions, the usage if asked for, the end."""
        ours = {"sources": answer.sources, "receipt": answer.receipt}
        end = self._chunk({}, "stop", ours)
        if self._include_usage:
            usage = {"choices": [], "usage": answer.usage.as_json()}
            end += as_event({**self._chunk_base(), **usage})
        return end + DONE

    def _chunk(self, delta: dict[str, Any], finish: str | None, ours: dict[str, Any] | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        usage = {"usage": None} if self._include_usage else {}
        return as_event({**self._chunk_base(), "choices": [choice], **usage, **(ours or {})})

    def _chunk_base(self) -> dict[str, Any]:
        return {**self._base, "object": "chat.completion.chunk", **self._ours}


def as_event(data: dict[str, Any]) -> bytes:
    """Frame an object as a server-sent event."""
    return b"data: " + orjson.dumps(data, default=str) + b"\n\n"


def as_model(name: str, created: int, owner: str) -> dict[str, Any]:
    """Return a `model`."""
    return {"id": name, "object": "model", "created": created, "owned_by": owner}
