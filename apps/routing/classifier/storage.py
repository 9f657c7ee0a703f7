"""A classifier as bytes: plain arrays and JSON in an npz archive, so that loading runs no code."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
from numpy.typing import NDArray

from apps.routing.classifier.features import FEATURES_VERSION, WordingFeatures
from apps.routing.classifier.model import IntentClassifier, LinearScorer


class BrokenModel(Exception):
    """The bytes are damaged or of another features version: train again."""


def to_bytes(classifier: IntentClassifier) -> bytes:
    """Serialise; example embeddings are kept in half precision."""
    scorer = classifier.scorer
    words, word_idf, chars, char_idf = scorer.wording.vocabulary()
    header = {
        "features_version": FEATURES_VERSION,
        "intents": classifier.intents,
        "temperature": classifier.temperature,
        "scope_threshold": classifier.scope_threshold,
        "example_texts": classifier.example_texts,
        "fingerprint": classifier.fingerprint,
        "words": words,
        "chars": chars,
    }
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        header=np.frombuffer(json.dumps(header).encode(), dtype=np.uint8),
        word_idf=word_idf,
        char_idf=char_idf,
        wording_weights=scorer.wording_weights,
        embedding_weights=scorer.embedding_weights,
        bias=scorer.bias,
        example_embeddings=scorer.example_embeddings.astype(np.float16),
        first_example=scorer.first_example,
    )
    return buffer.getvalue()


def from_bytes(payload: bytes) -> IntentClassifier:
    """Restore a classifier; raises BrokenModel."""
    try:
        with np.load(io.BytesIO(payload), allow_pickle=False) as arrays:
            return _restore({name: arrays[name] for name in arrays.files})
    except (ValueError, KeyError, EOFError, OSError, TypeError, zipfile.BadZipFile) as error:
        raise BrokenModel(f"the stored router model cannot be read: {error}") from error


def _restore(arrays: dict[str, NDArray]) -> IntentClassifier:
    header = json.loads(arrays["header"].tobytes())
    if header["features_version"] != FEATURES_VERSION:
        raise BrokenModel(
            f"features version {header['features_version']}, this code reads {FEATURES_VERSION}"
        )
    scorer = LinearScorer(
        wording=WordingFeatures.restore(
            header["words"], arrays["word_idf"], header["chars"], arrays["char_idf"]
        ),
        wording_weights=arrays["wording_weights"],
        embedding_weights=arrays["embedding_weights"],
        bias=arrays["bias"],
        example_embeddings=arrays["example_embeddings"].astype(np.float32),
        first_example=arrays["first_example"],
    )
    return IntentClassifier(
        intents=tuple(header["intents"]),
        scorer=scorer,
        temperature=header["temperature"],
        scope_threshold=header["scope_threshold"],
        example_texts=tuple(header["example_texts"]),
        fingerprint=header["fingerprint"],
    )
