"""Runs a proof in a process of its own, whose Django knows servers that are not ours."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, TextIO

from django.conf import settings


def run_apart(module: str, stdout: TextIO, **options: float | str) -> dict[str, Any]:
    """Run a module with options and --json; show what it prints and return its figures."""
    with tempfile.TemporaryDirectory() as folder:
        path, errors = Path(folder) / "figures.json", Path(folder) / "errors"
        given = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        command = [sys.executable, "-m", module, f"--json={path}", *given]
        with errors.open("w") as stderr, subprocess.Popen(
            command, cwd=settings.ROOT, stdout=subprocess.PIPE, stderr=stderr, text=True
        ) as process:  # fmt: skip
            assert process.stdout
            for line in process.stdout:
                stdout.write(line)
        if process.returncode:
            raise RuntimeError(errors.read_text()[-4000:])
        figures: dict[str, Any] = json.loads(path.read_text())
        return figures


def percentiles(seconds: list[float]) -> dict[str, float | int]:
    """Return the count, the median, the 99th percentile and the maximum."""
    if not seconds:
        return {"n": 0}
    ordered = sorted(seconds)
    return {
        "n": len(ordered),
        "p50_s": round(ordered[len(ordered) // 2], 3),
        "p99_s": round(ordered[int(0.99 * (len(ordered) - 1))], 3),
        "max_s": round(ordered[-1], 3),
    }
