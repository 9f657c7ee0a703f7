"""Publishes many events of a stream at once: the broker syncs its disk for all of them, not for each."""

import asyncio
import json
from collections.abc import Sequence
from uuid import uuid4

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import Error as JetStreamError

from apps.events.ports import Outgoing

PUBLISH_TIMEOUT_S = 5.0
FAILURES = (NatsError, JetStreamError, OSError, TimeoutError)
Sent = list[tuple[Outgoing, int]]  # each with its sequence


class Batches:
    """An atomic batch is stored whole or not at all; one that is refused goes message by message.

    It is where one of its events was stored before and the acknowledgement was lost; alone, a repetition is
    acknowledged like any other. A broker of before 2.12 knows no batches.
    """

    def __init__(self, client: Client, js: JetStreamContext) -> None:
        self._client, self._js = client, js

    async def send(self, messages: Sequence[Outgoing]) -> Sent:
        """Publish events of one stream in their order and return what was acknowledged."""
        if len(messages) > 1:
            try:
                last = await self._send_batch(messages)
            except FAILURES:
                return []  # what became of it is unknown
            if last is not None:
                return list(zip(messages, range(last - len(messages) + 1, last + 1), strict=True))
        return await self._send_each(messages)

    async def _send_batch(self, messages: Sequence[Outgoing]) -> int | None:
        """Return the sequence of the last one; None when the batch was refused."""
        batch = uuid4().hex
        for place, message in enumerate(messages[:-1], start=1):
            await self._client.publish(message.subject, message.body, headers=_headers(message, batch, place))
        last = messages[-1]
        headers = _headers(last, batch, len(messages)) | {"Nats-Batch-Commit": "1"}
        answer = await self._client.request(
            last.subject, last.body, timeout=PUBLISH_TIMEOUT_S, headers=headers
        )
        told = json.loads(answer.data)
        is_stored = "error" not in told and told.get("batch") == batch and told.get("count") == len(messages)
        return int(told["seq"]) if is_stored else None

    async def _send_each(self, messages: Sequence[Outgoing]) -> Sent:
        sends = [
            self._js.publish(m.subject, m.body, stream=m.stream, headers={"Nats-Msg-Id": str(m.id)})
            for m in messages
        ]
        answers = await asyncio.gather(*sends, return_exceptions=True)
        sent: Sent = []
        for message, answer in zip(messages, answers, strict=True):
            if not isinstance(answer, BaseException):
                sent.append((message, answer.seq))
            elif not isinstance(answer, FAILURES):
                raise answer
        return sent


def _headers(message: Outgoing, batch: str, place: int) -> dict[str, str]:
    return {"Nats-Msg-Id": str(message.id), "Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(place)}
