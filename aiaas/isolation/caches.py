"""Listen to everything that goes to Valkey and NATS, and look through this process's memory."""

import gc
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import _lru_cache_wrapper
from typing import Any
from uuid import UUID

import redis
from django.conf import settings

from aiaas.isolation.companies import Company
from aiaas.isolation.report import Report

# Keys and channels of the platform itself, and why they carry no tenant.
PLATFORM_KEYS = {
    r"platform:.*": "how the platform's own processes and schemas stand",
    r"rate:\{ip:.*": "a stranger's bucket: no tenant is known yet",
    r"celery(\x06\x16\d)?|_kombu\.binding.*|unacked.*": "the broker's queues; each payload names its tenant",
    r".*allauth.*": "log-in attempts, by address",
    r"aiaas.*hub\.[^.]*": "the one ear of a socket process; it joins groups, which name their tenant",
    r"__keyspace.*": "Valkey's own",
}
# Commands that name no key.
KEYLESS = {
    *("AUTH", "CLIENT", "HELLO", "INFO", "MONITOR", "PING", "SELECT", "MULTI", "EXEC", "SCRIPT", "COMMAND"),
    *(
        "DISCARD",
        "FLUSHDB",
        "CONFIG",
        "EVALSHA_RO",
        "TIME",
        "UNWATCH",
        "PUNSUBSCRIBE",
        "RESET",
        "QUIT",
        "SCAN",
    ),
}
SCRIPTED = {"EVAL", "EVALSHA"}
LISTS = {"DEL", "UNLINK", "MGET", "EXISTS", "TOUCH", "WATCH", "SUBSCRIBE", "UNSUBSCRIBE", "BRPOP", "BLPOP"}
WORD = re.compile(r'"((?:[^"\\]|\\.)*)"')
ESCAPED = re.compile(r"\\(?:x([0-9a-f]{2})|(.))")
MAX_DEPTH = 6


class Eavesdropper:
    """Keep every key and channel that a command names, with what it carries."""

    def __init__(self) -> None:
        self.heard: dict[str, str] = {}
        self.heard_all = False
        self._client = redis.Redis.from_url(settings.REDIS_URL, decode_responses=True, socket_timeout=None)
        self._number = str(self._client.connection_pool.connection_kwargs.get("db", 0))

    @contextmanager
    def listening(self) -> Iterator["Eavesdropper"]:
        """Listen for the length of the block, and to its last command."""
        client: Any = self._client  # its monitor is untyped
        with client.monitor() as monitor:
            thread = threading.Thread(target=self._listen, args=(monitor,), daemon=True)
            thread.start()
            try:
                yield self
            finally:
                redis.Redis.from_url(settings.REDIS_URL).echo(LAST_WORD)
                thread.join(timeout=10)

    def _listen(self, monitor: Any) -> None:
        while line := monitor.connection.read_response():
            if f" [{self._number} " not in line.partition("]")[0]:  # MONITOR tells of all databases
                continue
            words = _words(line)
            if words[:2] == ["ECHO", LAST_WORD]:
                self.heard_all = True
                return
            for key in _keys(words):
                self.heard[key] = f"{self.heard.get(key, '')[-4000:]} {' '.join(words)}"


LAST_WORD = "the proof ends"


def _words(line: str) -> list[str]:
    """Split a command as MONITOR prints it, each word in quotes; redis-py's own reading loses them."""
    words = [ESCAPED.sub(_unescape, word) for word in WORD.findall(line)]
    return [words[0].upper(), *words[1:]] if words else ["PING"]


def _unescape(found: re.Match[str]) -> str:
    return chr(int(found[1], 16)) if found[1] else found[2]


def _keys(words: list[str]) -> list[str]:
    name, rest = words[0], words[1:]
    if name in KEYLESS or not rest or name == "ECHO":
        return []
    if name in SCRIPTED:
        return rest[2 : 2 + int(rest[1])] if len(rest) > 1 and rest[1].isdigit() else []
    return rest if name in LISTS else rest[:1]


def attack_keys(report: Report, ear: Eavesdropper, companies: tuple[Company, ...]) -> None:
    """Judge every key and channel: it names its tenant, and carries nothing of another's."""
    if not ear.heard_all:
        report.miss("cache keys", "not everything was heard: the connection to Valkey broke")
    for key, told in ear.heard.items():
        report.aim("cache keys")
        report.judge("cache keys", key[:120], _fault(key, told, companies))


def _fault(key: str, told: str, companies: tuple[Company, ...]) -> str:
    named = [company for company in companies if names_tenant(key, company.tenant.id)]
    if not named and not any(re.fullmatch(known, key) for known in PLATFORM_KEYS):
        return "names no tenant"
    strangers = [company for company in companies if named and company not in named]
    shown = any(company.mark in told for company in strangers)
    return "carries another tenant's data" if shown else ""


def names_tenant(text: str, tenant_id: UUID) -> bool:
    return str(tenant_id) in text or tenant_id.hex in text


PACKAGES = ("apps.", "aiaas.", "workers.")


def attack_memory(
    report: Report, companies: tuple[Company, ...], packages: tuple[str, ...] = PACKAGES
) -> None:
    """Look through what modules of the product remember: data of a tenant only under a name of its own."""
    for place, memory in _memories(packages):
        report.aim("memory")
        kept = list(_leaves(memory, "", MAX_DEPTH))
        report.judge(
            "memory",
            place,
            next((fault for name, leaf in kept if (fault := _keeps(name, leaf, companies))), ""),
        )


def _keeps(name: str, leaf: str, companies: tuple[Company, ...]) -> str:
    for company in companies:
        if company.mark in leaf and not any(each in name for each in company.names):
            return f"remembers a tenant's data under {name[:80]!r}"
    return ""


def _memories(packages: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """Yield each module-level container, object of ours and cached function of the product's."""
    for name, module in sorted(sys.modules.items()):
        if not name.startswith(packages) or name.startswith("aiaas.isolation"):
            continue
        for attribute, value in list(vars(module).items()):
            if isinstance(value, _lru_cache_wrapper):
                if value.__module__ == name:
                    yield (
                        f"{name}.{attribute}",
                        [held for held in gc.get_referents(value) if isinstance(held, dict)],
                    )
            elif isinstance(value, dict | set | list) or _is_ours(value):
                yield f"{name}.{attribute}", value


def _is_ours(value: Any) -> bool:
    return type(value).__module__.startswith(("apps.", "aiaas.")) and hasattr(value, "__dict__")


def _leaves(value: Any, name: str, depth: int) -> Iterator[tuple[str, str]]:
    """Yield each text that is kept, with the keys that lead to it."""
    if isinstance(value, str | UUID):
        yield name, str(value)
    elif isinstance(value, bytes):
        yield name, value.decode("utf-8", "replace")
    elif depth and isinstance(value, Mapping):
        for key, kept in list(value.items()):
            yield from _leaves(kept, f"{name} {' '.join(text for _, text in _leaves(key, '', 3))}", depth - 1)
    elif depth and isinstance(value, set | frozenset):
        for kept in list(value):  # a set is all key
            text = " ".join(text for _, text in _leaves(kept, "", 3))
            yield f"{name} {text}", text
    elif depth and isinstance(value, list | tuple):
        for kept in list(value):
            yield from _leaves(kept, name, depth - 1)
    elif depth and _is_ours(value):
        yield from _leaves(vars(value), name, depth - 1)
