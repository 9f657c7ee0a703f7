"""The memory of vectors: one call for what is missing, bounded, never spoiled."""

from collections.abc import Sequence

import numpy as np

from apps.inference.memory import VectorMemory


class Counting:
    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        self.calls.append(list(texts))
        return np.array([[len(text), 1] for text in texts], np.float32)


def test_only_what_is_missing_is_embedded_and_at_once() -> None:
    embed = Counting()
    memory = VectorMemory(embed)
    memory.get(["a", "bb"])
    vectors = memory.get(["ccc", "bb", "ccc", "dddd"])
    assert embed.calls == [["a", "bb"], ["ccc", "dddd"]]
    assert vectors[:, 0].tolist() == [3, 2, 3, 4]


def test_the_oldest_unused_text_is_forgotten() -> None:
    embed = Counting()
    memory = VectorMemory(embed, max_texts=2)
    for texts in (["a"], ["b"], ["a", "c"], ["b"], ["c"]):
        memory.get(texts)
    assert embed.calls == [["a"], ["b"], ["c"], ["b"]]


def test_a_vector_that_is_changed_changes_no_other() -> None:
    memory = VectorMemory(Counting())
    memory.get(["a"])[0, 0] = 99
    assert memory.get_one("a").tolist() == [1, 1]
