"""Run the benchmarks of the folder `benchmarks/`."""

import argparse
import datetime as dt
import importlib
import inspect
import json
import platform
import time
from argparse import ArgumentParser
from pathlib import Path
from types import ModuleType
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from aiaas.settings.locations import ROOT

FOLDER: Path = ROOT / "benchmarks"


class Command(BaseCommand):
    """Import benchmarks.<name>, call its `run(stdout) -> dict`, print and keep what it returns."""

    help = "Runs benchmarks, prints a table of each and writes JSON to benchmarks/results/."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the names and --list."""
        parser.add_argument("--list", action="store_true", help="show the names and what each measures")
        parser.add_argument(
            "names",
            nargs=argparse.REMAINDER,
            metavar="NAME",
            help="which (default: all); one alone may be followed by options of its own, like --seed 7",
        )

    def handle(self, *args: object, names: list[str], **options: object) -> None:
        """Run one after the other; a name that does not exist stops before the first."""
        known = available()
        begin = next((at for at, word in enumerate(names) if word.startswith("-")), len(names))
        names, given = names[:begin], names[begin:]
        unknown = [name for name in names if name not in known]
        if unknown:
            raise CommandError(f"no benchmark {', '.join(unknown)}; there is: {', '.join(known)}")
        if options["list"]:
            for name in known:
                self.stdout.write(f"{name:<16}{summary(load(name))}")
            return
        if given and len(names) != 1:
            raise CommandError("options belong to one benchmark: name it alone")
        chosen = read_options(names[0], given) if given else {}
        failures = [line for name in names or known for line in self._run(name, chosen)]
        if failures:
            raise CommandError("missed: " + "; ".join(failures))

    def _run(self, name: str, chosen: dict[str, Any]) -> list[str]:
        """Return what the benchmark itself calls its failures, none for most."""
        self.stdout.write(f"{name}: {summary(load(name))}")
        begin = time.monotonic()
        results: dict[str, Any] = load(name).run(self.stdout, **chosen)
        duration_s = round(time.monotonic() - begin, 1)
        for line in table(results):
            self.stdout.write(f"  {line}")
        path = keep(name, results, duration_s)
        self.stdout.write(f"  {duration_s} s, written to {path.relative_to(ROOT)}")
        return list(results.get("failures", ()))


def available() -> list[str]:
    """Return the names of all benchmarks."""
    modules = {path.stem: path for path in FOLDER.glob("[a-z]*.py")}
    packages = {path.parent.name: path for path in FOLDER.glob("[a-z]*/__init__.py")}
    return sorted(name for name, path in (modules | packages).items() if "def run(" in path.read_text())


def read_options(name: str, given: list[str]) -> dict[str, Any]:
    """Read the options of a benchmark: the keyword-only parameters of its `run`."""
    parser = argparse.ArgumentParser(prog=f"manage.py bench {name}")
    for option in inspect.signature(load(name).run).parameters.values():
        if option.kind is option.KEYWORD_ONLY:
            flag = f"--{option.name.replace('_', '-')}"
            parser.add_argument(flag, type=type(option.default), default=option.default)
    return vars(parser.parse_args(given))


def load(name: str) -> ModuleType:
    """Import one."""
    return importlib.import_module(f"benchmarks.{name}")


def summary(module: ModuleType) -> str:
    """Return the first line of a benchmark's docstring."""
    return (module.__doc__ or "").strip().partition("\n")[0]


def table(results: dict[str, Any], prefix: str = "") -> list[str]:
    """Return a line for each figure; nested dictionaries become dotted names."""
    lines: list[str] = []
    for name, value in results.items():
        if isinstance(value, dict):
            lines += table(value, f"{prefix}{name}.")
        else:
            shown = f"{value:,.3f}" if isinstance(value, float) else str(value)
            lines.append(f"{prefix + name:<48} {shown:>14}")
    return lines


def keep(name: str, results: dict[str, Any], duration_s: float) -> Path:
    """Write the figures with date and machine to benchmarks/results/ and return the file."""
    at = dt.datetime.now(tz=dt.UTC)
    folder = FOLDER / "results"
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-{at:%Y%m%dT%H%M%SZ}.json"
    machine = {"python": platform.python_version(), "system": platform.platform()}
    facts = {"name": name, "at": at.isoformat(), "duration_s": duration_s, "machine": machine}
    path.write_text(json.dumps({**facts, "results": results}, indent=2, default=str) + "\n")
    return path
