"""A fake OpenAI-compatible upstream, as a bare ASGI application: always the same sixteen words."""

from typing import Any

import orjson

WORDS = [f"word{number:02d}" for number in range(16)]
BASE = {"id": "chatcmpl-fake", "created": 1_700_000_000, "model": "fake"}
USAGE = {"prompt_tokens": 12, "completion_tokens": 16, "total_tokens": 28}


def _event(choices: list[dict[str, Any]], **more: Any) -> bytes:
    body = {**BASE, "object": "chat.completion.chunk", "choices": choices, **more}
    return b"data: " + orjson.dumps(body) + b"\n\n"


def _choice(delta: dict[str, str], finish: str | None = None) -> list[dict[str, Any]]:
    return [{"index": 0, "delta": delta, "finish_reason": finish}]


MESSAGE = {"role": "assistant", "content": " ".join(WORDS)}
WHOLE = orjson.dumps(
    {
        **BASE,
        "object": "chat.completion",
        "usage": USAGE,
        "choices": [{"index": 0, "finish_reason": "stop", "message": MESSAGE}],
    }
)
CHUNKS = [
    _event(_choice({"role": "assistant", "content": ""})),
    *(_event(_choice({"content": word if place == 0 else f" {word}"})) for place, word in enumerate(WORDS)),
    _event(_choice({}, "stop")),
]
END = b"data: [DONE]\n\n"


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer every request as a chat completion, streamed where it asks for that."""
    if scope["type"] != "http":
        return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    asked: dict[str, Any] = orjson.loads(body) if body else {}
    is_stream = bool(asked.get("stream"))
    content_type = b"text/event-stream" if is_stream else b"application/json"
    headers = [(b"content-type", content_type)]
    if not is_stream:
        headers.append((b"content-length", str(len(WHOLE)).encode()))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if not is_stream:
        await send({"type": "http.response.body", "body": WHOLE})
        return
    for chunk in CHUNKS:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    usage = _event([], usage=USAGE) if (asked.get("stream_options") or {}).get("include_usage") else b""
    await send({"type": "http.response.body", "body": usage + END})
