"""Attack one throwaway tenant as another, everywhere, and tell what held."""

import logging
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from aiaas.embedded import EmbeddedServerError
from aiaas.isolation.companies import found_company
from aiaas.isolation.interleavings import connected_to, interleave
from aiaas.isolation.pgbouncer import find_pgbouncer, running_pgbouncer
from aiaas.isolation.proof import prove
from apps.tenants.context import APP


class Command(BaseCommand):
    """Make two companies full of marked data and set one upon the other."""

    help = (
        "Attacks every table, function, URL, socket, task, event and key across two tenants, on servers of "
        "its own; with --interleavings, runs random transactions of several tenants on few connections."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add what the interleavings take."""
        parser.add_argument(
            "--interleavings", type=int, metavar="N", help="run N random interleavings instead"
        )
        parser.add_argument("--seed", type=int, default=1, help="of the random choices (default: 1)")
        parser.add_argument("--processes", type=int, default=1, help="in which the threads run (default: 1)")
        parser.add_argument(
            *("--pgbouncer", "-p"),
            nargs="?",
            const="pgbouncer",
            metavar="PATH",
            help="connect through PgBouncer in transaction mode",
        )

    def handle(self, *args: object, interleavings: int | None, **options: Any) -> None:
        """Print what was tried; fail on a leak, and on what could not be attacked."""
        if interleavings is not None and (interleavings < 1 or options["processes"] < 1):
            raise CommandError("give a number of 1 or more", returncode=2)
        logging.disable()  # what is refused, as it should be, would bury the report
        try:
            if interleavings is None:
                self._attack()
            else:
                self._interleave(interleavings, **options)
        finally:
            logging.disable(logging.NOTSET)

    def _attack(self) -> None:
        begin = time.monotonic()
        report = prove(self.stdout.write)
        for line in report.lines():
            self.stdout.write(line)
        self.stdout.write(f"{sum(report.tried.values())} attacks in {time.monotonic() - begin:.0f} s")
        if report.has_failed:
            raise CommandError(f"{len(report.leaks)} leaks, {len(report.uncovered)} not covered")
        self.stdout.write("nothing leaked")

    def _interleave(self, count: int, *, pgbouncer: str | None, **options: Any) -> None:
        begin = time.monotonic()
        tenants = [found_company().tenant for _ in range(3)]
        with self._address(pgbouncer) as address, connected_to(**address):
            tally = interleave(tenants, count, seed=options["seed"], processes=options["processes"])
        for name, units in sorted(tally.units.items()):
            self.stdout.write(f"{name:<24}{units:>10,}")
        way = "through PgBouncer" if pgbouncer else "directly"
        seconds = time.monotonic() - begin
        self.stdout.write(f"{tally.total:,} interleavings {way}, {tally.rows:,} rows, in {seconds:.0f} s")
        for title, found in (("FOREIGN", tally.foreign), ("LOST", tally.lost), ("FAILED", tally.failed)):
            for what, times in found.most_common(10):
                self.stdout.write(f"{title}  {what}: {times}")
        if tally.has_failed:
            raise CommandError(
                f"{sum(tally.foreign.values())} foreign rows, {sum(tally.lost.values())} lost reads"
            )
        self.stdout.write("no foreign row")

    @contextmanager
    def _address(self, pgbouncer: str | None) -> Iterator[dict[str, Any]]:
        if not pgbouncer:
            yield {}
            return
        try:
            with running_pgbouncer(find_pgbouncer(pgbouncer), connections.databases[APP]) as server:
                yield {"HOST": "127.0.0.1", "PORT": server.port}
        except EmbeddedServerError as error:
            raise CommandError(str(error)) from None
