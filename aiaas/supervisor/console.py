"""What a person sees while `up` works."""

import contextlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

TITLE_WIDTH = 38


def say(line: str = "") -> None:
    """Print one line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def complain(line: str) -> None:
    """Print one line on standard error."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


@contextlib.contextmanager
def step(title: str) -> Iterator[Callable[[str], None]]:
    """Show that a step began, what it is at (the yielded function) and, at the end, how long it took."""
    begin = time.monotonic()
    on_terminal = sys.stdout.isatty()
    room = max(10, shutil.get_terminal_size().columns - TITLE_WIDTH - 3)

    def show(detail: str, end: str = "") -> None:
        sys.stdout.write(
            f"\r  {title:<{TITLE_WIDTH}}{detail:.{room}}\x1b[K{end}" if on_terminal else f"\n    {detail}"
        )
        sys.stdout.flush()

    sys.stdout.write(f"  {title:<{TITLE_WIDTH}}")
    sys.stdout.flush()
    try:
        yield show
    except BaseException:
        say()
        raise
    duration = f"{time.monotonic() - begin:6.1f} s"
    if on_terminal:
        show(duration, end="\n")
    else:
        say(duration)


def table(rows: list[tuple[str, str]]) -> None:
    """Print two columns."""
    width = max((len(left) for left, _ in rows), default=0)
    for left, right in rows:
        say(f"  {left:<{width}}  {right}")


class LogFollower:
    """Shows what is added to log files, each line under its process's name."""

    def __init__(self, paths: list[Path]) -> None:
        self._positions = {path: path.stat().st_size if path.exists() else 0 for path in paths}

    def show_new(self) -> None:
        """Print the lines that came since the last call."""
        for path, position in self._positions.items():
            if not path.exists():
                continue
            with path.open("rb") as log:
                position = 0 if path.stat().st_size < position else position  # it may be begun anew
                log.seek(position)
                lines = log.read(100_000).splitlines(keepends=True)
            complete = [line for line in lines if line.endswith(b"\n")]
            self._positions[path] = position + sum(map(len, complete))
            for line in complete:
                say(f"{path.stem:<10} | {line.decode(errors='replace').rstrip()}")
