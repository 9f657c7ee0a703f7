"""One message through the whole journey, on the command line."""

import json
from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from apps.conversations.contracts import MessageView
from apps.gateway.questions import await_reply, put_question
from apps.resilience.errors import DomainError
from apps.tenants.selectors import get_tenant


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
            question = put_question(
                tenant=get_tenant(slug=options["tenant"]),
                text=options["text"],
                workflow=options["workflow"],
                conversation_id=options["conversation"],
            )
            reply = await_reply(question, wait_s=options["wait"])
        except DomainError as exc:
            raise CommandError(exc.detail) from exc
        self._print_json(reply) if options["json"] else self._print(reply)

    def _print(self, reply: MessageView) -> None:
        write, heading = self.stdout.write, self.style.MIGRATE_HEADING
        write(reply.text)
        if reply.sources:
            write(heading("\nSources"))
        for index, source in enumerate(reply.sources, start=1):
            where = source.get("url") or source.get("heading") or source.get("document_id") or ""
            write(f"  [{source.get('index', index)}] {source.get('title', '')}  {where}".rstrip())
        write(heading("\nReceipt"))
        for name, value in (reply.receipt or {}).items():
            write(f"  {name}: {value if isinstance(value, str) else json.dumps(value, default=str)}")
        write(f"  conversation: {reply.conversation_id}")

    def _print_json(self, reply: MessageView) -> None:
        answer = {
            "conversation_id": reply.conversation_id,
            "run_id": reply.run_id,
            "text": reply.text,
            "sources": reply.sources,
            "receipt": reply.receipt,
        }
        self.stdout.write(json.dumps(answer, default=str, indent=2))
