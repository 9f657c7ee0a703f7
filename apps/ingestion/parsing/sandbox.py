"""Runs the parser in a process of its own: killed when it takes too long, bounded in memory."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import structlog

from apps.ingestion.parsing.contracts import ParsedDocument, Section, Unreadable

ROOT = Path(__file__).resolve().parents[3]
MODULE = "apps.ingestion.parsing.child"
SLOW = "The document takes too long to read: split it into smaller ones, or save it in a simpler form."
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one file may cost."""

    timeout_s: float = 60.0
    memory_bytes: int = 1024 * 1024 * 1024


def parse_safely(name: str, content: bytes, limits: Limits | None = None) -> ParsedDocument:
    """Parse a file in a child process without our environment; raises Unreadable with advice."""
    limits = limits or Limits()
    answer = json.loads(_run_child(name, content, limits) or b"{}")
    if "cause" in answer:
        log.warning("parser_failed", cause=answer["cause"])
    if "sections" not in answer:
        raise Unreadable(answer.get("error") or SLOW)
    sections = tuple(Section(**section) for section in answer["sections"])
    return ParsedDocument(sections, answer["title"], tuple(answer["warnings"]))


def _run_child(name: str, content: bytes, limits: Limits) -> bytes:
    command = [sys.executable, "-m", MODULE, name[-200:], str(limits.memory_bytes)]
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [*command, str(max(1, round(limits.timeout_s)))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
        env={"PATH": os.defpath, "LANG": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1"},
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(content, timeout=limits.timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise Unreadable(SLOW) from None
    return output
