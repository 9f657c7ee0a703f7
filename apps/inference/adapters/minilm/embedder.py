"""The embedder of the product: English sentences to 384 numbers, 256 tokens at most."""

import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from apps.inference.adapters.minilm.weights import (
    TOKENIZER_SHA256,
    WEIGHTS_SHA256,
    check_digest,
    find_model_file,
    read_weights,
)
from apps.inference.contracts import ModelUnavailable

GRAPH_VERSION = 1  # raise it when the graph changes: a new folder is built, vectors are made again
MAX_TOKENS = 256
STALE_DRAFT_S = 600
BATCH_SIZE = 8  # larger batches are no faster on a processor, and take more memory


class MiniLmEmbedder:
    """all-MiniLM-L6-v2 in float32, safe to share between threads, not across a fork.

    The ONNX file is built once for each data folder; building at the same time is harmless.
    """

    dimensions = 384
    fingerprint = f"all-MiniLM-L6-v2/fp32/{WEIGHTS_SHA256[:12]}/{GRAPH_VERSION}"

    def __init__(self, *, models_dir: Path, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        model = ensure_built(models_dir) / "model.onnx"
        self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self._tokenizer = _read_tokenizer()
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.enable_padding()

    @cached_property
    def _counter(self) -> Tokenizer:
        return _read_tokenizer()

    def count_tokens(self, text: str) -> int:
        """Count word pieces, without the two marks that frame a sequence."""
        return len(self._counter.encode(text, add_special_tokens=False).ids)

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Return unit vectors, shape (len(texts), 384); short and long texts are not padded together."""
        vectors = np.zeros((len(texts), self.dimensions), np.float32)
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        for start in range(0, len(order), BATCH_SIZE):
            batch = order[start : start + BATCH_SIZE]
            vectors[batch] = self._run([texts[index] for index in batch])
        return vectors

    def _run(self, texts: list[str]) -> np.ndarray:
        encoded = self._tokenizer.encode_batch(texts)
        ids = np.array([item.ids for item in encoded], np.int64)
        mask = np.array([item.attention_mask for item in encoded], np.int64)
        return self._session.run(None, {"ids": ids, "mask": mask})[0]


def _read_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(find_model_file("tokenizer.json")))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def ensure_built(models_dir: Path) -> Path:
    """Return the folder of the ONNX model, built by whoever comes first.

    The folder appears complete, by rename; one that appeared meanwhile wins and ours is dropped.
    """
    folder = models_dir / f"all-minilm-l6-v2-{WEIGHTS_SHA256[:12]}-{GRAPH_VERSION}"
    if folder.is_dir():
        return folder
    from apps.inference.adapters.minilm.graph import write_model

    models_dir.mkdir(parents=True, exist_ok=True)
    _sweep_drafts(models_dir)
    check_digest(find_model_file("tokenizer.json"), TOKENIZER_SHA256)
    draft = Path(tempfile.mkdtemp(prefix=".building-", dir=models_dir))
    try:
        write_model(read_weights(), draft)
        _publish(draft, folder)
    except OSError as error:
        raise ModelUnavailable(
            f"Cannot write the embedding model to {models_dir}: {error.strerror}"
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def _publish(draft: Path, folder: Path) -> None:
    for file in draft.iterdir():
        with file.open("rb") as written:
            os.fsync(written.fileno())
    try:
        draft.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise


def _sweep_drafts(models_dir: Path) -> None:
    for draft in models_dir.glob(".building-*"):
        if time.time() - draft.stat().st_mtime > STALE_DRAFT_S:
            shutil.rmtree(draft, ignore_errors=True)
