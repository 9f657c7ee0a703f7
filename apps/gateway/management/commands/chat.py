"""One message through the whole journey, on the command line."""

import json
import logging
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from apps.conversations.contracts import MessageView
from apps.gateway.questions import await_reply, put_question
from apps.resilience.errors import DomainError
from apps.tenants.selectors import get_tenant

SHOWN = (
    *("workflow", "version", "intent", "confidence", "tier", "model_version", "reasons", "steps"),
    *("provider", "model", "prompt_tokens", "completion_tokens", "cost_microusd", "knows"),
    *("escalated", "fallback", "latency_ms"),
)


class Command(BaseCommand):
    """Ask a tenant's AI one question and print what it answers, from what, and why."""

    help = "Send one message through the whole journey; print the reply, its sources and its receipt."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("text", help="what the customer says")
        parser.add_argument("--tenant", required=True, metavar="SLUG")
        parser.add_argument("--conversation", type=UUID, metavar="ID", help="go on with this conversation")
        parser.add_argument("--workflow", metavar="NAME", help="answer by this published workflow")
        parser.add_argument("--wait", type=float, default=60.0, metavar="SECONDS")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with _quiet(options["verbosity"]):
                question = put_question(
                    tenant=get_tenant(slug=options["tenant"]),
                    text=options["text"],
                    workflow=options["workflow"],
                    conversation_id=options["conversation"],
                )
                reply = await_reply(question, wait_s=options["wait"])
        except DomainError as exc:
            raise CommandError(exc.detail) from exc
        if options["json"]:
            self._print_json(reply)
        else:
            self._print(reply)

    def _print(self, reply: MessageView) -> None:
        heading = self.style.MIGRATE_HEADING
        self.stdout.write(reply.text)
        if reply.sources:
            self.stdout.write(heading("\nSources"))
        for index, source in enumerate(reply.sources, start=1):
            where = source.get("url") or source.get("heading") or ""
            number = source.get("index", index)
            self.stdout.write(f"  [{number}] {source.get('title', '')}  {where}".rstrip())
        self.stdout.write(heading("\nReceipt"))
        for name, value in _in_order(reply.receipt or {}):
            self.stdout.write(f"  {name}: {_in_words(value)}")
        self.stdout.write(f"  conversation: {reply.conversation_id}")

    def _print_json(self, reply: MessageView) -> None:
        answer = {
            "conversation_id": reply.conversation_id,
            "run_id": reply.run_id,
            "text": reply.text,
            "sources": reply.sources,
            "receipt": reply.receipt,
        }
        self.stdout.write(json.dumps(answer, default=str, indent=2))


@contextmanager
def _quiet(verbosity: int) -> Iterator[None]:
    # The receipt tells what the log would; `-v 2` shows the log as well.
    logger = logging.getLogger("apps")
    level = logger.level
    logger.setLevel(logging.WARNING if verbosity < 2 else level)
    try:
        yield
    finally:
        logger.setLevel(level)


def _in_order(receipt: dict[str, Any]) -> list[tuple[str, Any]]:
    names = [*SHOWN, *sorted(receipt.keys() - set(SHOWN) - {"sources"})]
    return [(name, receipt[name]) for name in names if receipt.get(name) not in (None, "", [])]


def _in_words(value: Any) -> str:
    if isinstance(value, list):
        return "".join(f"\n    {_in_words(item)}" for item in value)
    if isinstance(value, dict):
        return " ".join(str(item) for item in value.values() if item is not None)
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)
