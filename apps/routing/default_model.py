"""The model of every tenant that has trained none: learnt once per machine from the shipped examples."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache
from pathlib import Path

import structlog
from django.conf import settings

from apps.inference.services import embed_texts, embedder_fingerprint
from apps.routing.classifier import (
    BrokenModel,
    Examples,
    IntentClassifier,
    from_bytes,
    to_bytes,
    train_classifier,
)
from apps.routing.classifier.features import FEATURES_VERSION
from apps.routing.contracts import ModelFigures

log = structlog.get_logger(__name__)
FOLDER = Path(__file__).parent / "defaults"


@cache
def default_intents() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Read the shipped intents: name -> (description, examples)."""
    return {path.stem: _read_intent(path) for path in sorted(FOLDER.glob("*.txt"))}


def _read_intent(path: Path) -> tuple[str, tuple[str, ...]]:
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    return lines[0].removeprefix("# "), tuple(line for line in lines[1:] if line)


def default_model_key() -> str:
    """Name the shipped examples, the features and the embedder together: any change gives another name."""
    return _hash_ingredients(embedder_fingerprint())


@cache
def _hash_ingredients(embedder: str) -> str:
    parts = [str(FEATURES_VERSION), embedder, repr(default_intents())]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _path() -> Path:
    return Path(settings.DATA_DIR) / "models" / f"router-{default_model_key()}.npz"


def shipped_figures() -> ModelFigures | None:
    """Return how the shipped model does on held-out examples; None until this machine has trained it."""
    try:
        kept = json.loads(_path().with_suffix(".json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return ModelFigures(**{**kept, "by_intent": {name: tuple(n) for name, n in kept["by_intent"].items()}})


def load_default_classifier() -> IntentClassifier:
    """Load the default model, trained first where this machine has none; many processes may call it."""
    path = _path()
    found = _read_model(path)
    if found is not None:
        return found
    path.parent.mkdir(parents=True, exist_ok=True)
    with _only_one(path.with_suffix(".lock")):
        found = _read_model(path)
        return found if found is not None else _train_into(path)


def _read_model(path: Path) -> IntentClassifier | None:
    if not path.with_suffix(".json").exists():  # left by an older version, which kept no figures
        return None
    try:
        return from_bytes(path.read_bytes())
    except FileNotFoundError:
        return None
    except BrokenModel as error:
        log.warning("router_default_broken", path=path.name, error=str(error))
        return None


def _train_into(path: Path) -> IntentClassifier:
    pairs = [(intent, text) for intent, (_, texts) in default_intents().items() for text in texts]
    texts = [text for _, text in pairs]
    examples = Examples(texts, [intent for intent, _ in pairs], embed_texts(texts))
    classifier, report = train_classifier(examples, fingerprint=embedder_fingerprint())
    figures = ModelFigures(
        report.examples, round(report.accuracy, 4), round(report.calibration_error, 4), report.by_intent
    )
    _write(path.with_suffix(".json"), json.dumps(asdict(figures)).encode())
    _write(path, to_bytes(classifier))
    log.info("router_default_trained", examples=report.examples, accuracy=round(report.accuracy, 3))
    return classifier


def _write(path: Path, content: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as draft:
        draft.write(content)
    os.replace(draft.name, path)


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
