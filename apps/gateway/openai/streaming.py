"""Stream an answer as server-sent events while its run executes in a thread."""

import contextvars
import time
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from threading import Thread

import structlog
from django.db import close_old_connections, connections

from apps.gateway.openai.deltas import HUB, Delta, StreamedText
from apps.gateway.openai.shapes import DONE, KEEP_ALIVE, Answer, Completion, as_event
from apps.gateway.problems import Problem, openai_body, problem_of
from apps.gateway.questions import Question

log = structlog.get_logger(__name__)

KEEP_ALIVE_S = 10.0
GRACE_S = 5.0


class _Work:
    """The answer of a run, made in a thread; whoever leaves the stream does not stop it."""

    def __init__(self, make: Callable[[], Answer]) -> None:
        self._make = make
        self.answer: Answer | None = None
        self.failure: Exception | None = None

    def start(self, queue: "SimpleQueue[Delta | None]", context: contextvars.Context) -> None:
        Thread(target=context.run, args=(self._run, queue), name="chat-completion", daemon=True).start()

    def _run(self, queue: "SimpleQueue[Delta | None]") -> None:
        try:
            self.answer = self._make()
        except Exception as exc:
            self.failure = exc
        finally:
            connections.close_all()
            queue.put(None)


def stream_answer(
    question: Question, completion: Completion, make: Callable[[], Answer], *, wait_s: float
) -> Iterator[bytes]:
    """Yield the events of one answer: deltas as they come, then what is missing, then the end."""
    return _events(question, completion, _Work(make), wait_s, contextvars.copy_context())


def _events(
    question: Question, completion: Completion, work: _Work, wait_s: float, context: contextvars.Context
) -> Iterator[bytes]:
    gives_up_at = time.monotonic() + wait_s + GRACE_S
    text = StreamedText()
    close_old_connections()  # the thread that works takes one of the pool; this one only waits
    yield completion.opening()
    with HUB.listen(question.conversation_id) as queue:
        work.start(queue, context)
        while time.monotonic() < gives_up_at:
            try:
                delta = queue.get(timeout=KEEP_ALIVE_S)
            except Empty:
                yield KEEP_ALIVE
                continue
            pieces, is_over = _take_all(queue, delta)
            of_ours = (piece for piece in pieces if piece.reply_id == str(question.run_id))
            # Each piece is an event; those that are there already are sent in one go.
            if news := b"".join(completion.delta(new) for piece in of_ours if (new := text.accept(piece))):
                yield news
            if is_over:
                break
    if work.answer is None:
        yield _failure(work.failure) + DONE
        return
    if rest := text.finish(work.answer.text):
        yield completion.delta(rest)
    yield completion.closing(work.answer)


def _take_all(queue: "SimpleQueue[Delta | None]", first: Delta | None) -> tuple[list[Delta], bool]:
    """Return the deltas that wait, and whether the work is over."""
    pieces: list[Delta] = []
    delta = first
    while delta is not None:
        pieces.append(delta)
        if queue.empty():
            return pieces, False
        delta = queue.get_nowait()
    return pieces, True


def _failure(exc: Exception | None) -> bytes:
    late = Problem(504, "No reply in time", "The run goes on; read its reply from the conversation.")
    problem = late if exc is None else problem_of(exc)
    if problem is None:
        log.error("chat_completion_failed", exc_info=exc)
        problem = Problem(500, detail="Something broke on our side; try again.")
    return as_event(openai_body(problem))
