"""Secrets among a tool's settings: sealed at rest, masked where they are shown, marked where workflows read.

Workflows record what they do and may put settings anywhere. So they read a mark, which nobody outside can
guess, and only the headers of a request that is sent carry the secret instead. What was stored in plain text
is treated alike, and sealed when it is next changed.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from uuid import UUID

from apps.orchestration.definitions.models import ToolSetting
from apps.resilience.errors import InvalidInput
from apps.tenants.secrets import MASK, is_secret_name, pseudonym, seal, unseal

Path = tuple[str, ...]
MARK = re.compile(r"\[\[secret:[^\[\]]{1,300}:[0-9a-f]{24}\]\]")
NOTHING_KEPT = "{path}: give the secret itself; there is none that could stay as it is."


def store(config: Mapping[str, Any], setting: ToolSetting, tenant_id: UUID) -> tuple[dict[str, Any], str]:
    """Return what is stored of a config: the part that may be shown, and its secrets, sealed.

    Raises InvalidInput for a mask without a former secret.
    """
    kept, found = _open(setting), dict(_find(config))
    for path, text in found.items():
        if text == MASK and path not in kept:
            raise InvalidInput({"config": [NOTHING_KEPT.format(path=".".join(path))]})
    secrets = [[path, kept[path] if text == MASK else text] for path, text in found.items()]
    sealed = seal(json.dumps(secrets), tenant_id) if secrets else ""
    return _replace(config, dict.fromkeys(found, MASK)), sealed


def with_masks(setting: ToolSetting) -> dict[str, Any]:
    """Return the config with a mask in the place of each secret."""
    shown: dict[str, Any] = _replace(setting.config, {path: MASK for path, _ in _find(setting.config)})
    return shown


def with_marks(setting: ToolSetting) -> dict[str, Any]:
    """Return the config with a mark in the place of each secret."""
    marks = {path: _mark(setting, path) for path, _ in _find(setting.config)}
    read: dict[str, Any] = _replace(setting.config, marks)
    return read


def secrets_by_mark(settings: Iterable[ToolSetting]) -> dict[str, str]:
    """Return the secrets of the settings; raises CannotOpen where a key is gone."""
    return {_mark(one, path): text for one in settings for path, text in _open(one).items()}


def _open(setting: ToolSetting) -> dict[Path, str]:
    plain = {path: text for path, text in _find(setting.config) if text != MASK}
    sealed = json.loads(unseal(setting.secrets, setting.tenant_id)) if setting.secrets else []
    return plain | {tuple(path): text for path, text in sealed}


def _mark(setting: ToolSetting, path: Path) -> str:
    name = re.sub(r"[\[\]]", "", ".".join((setting.tool, *path)))[:300]
    digest = pseudonym(json.dumps([str(setting.tenant_id), setting.tool, path]))
    return f"[[secret:{name}:{digest[:24]}]]"


def _find(value: Any, path: Path = (), is_secret: bool = False) -> Iterator[tuple[Path, str]]:
    """Yield every text under a name that says secret, however deep, with its path."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _find(item, (*path, str(name)), is_secret or is_secret_name(str(name)))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _find(item, (*path, str(number)), is_secret)
    elif is_secret and isinstance(value, str) and value:
        yield path, value


def _replace(value: Any, texts: Mapping[Path, str], path: Path = ()) -> Any:
    if isinstance(value, Mapping):
        return {name: _replace(item, texts, (*path, str(name))) for name, item in value.items()}
    if isinstance(value, list):
        return [_replace(item, texts, (*path, str(number))) for number, item in enumerate(value)]
    return texts.get(path, value)
