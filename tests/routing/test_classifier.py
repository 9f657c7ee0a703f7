"""The classifier on small, made-up languages."""

import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.routing.classifier import BrokenModel, Examples, from_bytes, to_bytes, train_classifier
from apps.routing.classifier.calibration import expected_calibration_error, fit_temperature, softmax

DIMENSIONS = 8
WORDS = {
    "cats": ["purr", "meow", "whiskers", "kitten"],
    "dogs": ["bark", "woof", "leash", "puppy"],
    "fish": ["swim", "gills", "scales", "bubbles"],
}


def embed(texts: list[str]) -> np.ndarray:
    """Point towards the intent whose words occur, with a little noise of the text's own."""
    rows = []
    for text in texts:
        noise = np.random.default_rng(sum(map(ord, text))).normal(scale=0.2, size=DIMENSIONS)
        for axis, words in enumerate(WORDS.values()):
            noise[axis] += sum(word in text for word in words)
        rows.append(noise / np.linalg.norm(noise))
    return np.array(rows, dtype=np.float32)


def examples(*names: str) -> Examples:
    pairs = [
        (f"the {first} and the {second}", name)
        for name in names
        for first in WORDS[name]
        for second in WORDS[name]
    ]
    texts = [text for text, _ in pairs]
    return Examples(texts, [name for _, name in pairs], embed(texts))


@pytest.mark.parametrize("names", [("cats", "dogs"), ("cats", "dogs", "fish")])
def test_learns_intents_with_honest_probabilities(names: tuple[str, ...]) -> None:
    classifier, report = train_classifier(examples(*names))
    assert report.accuracy > 0.95
    assert report.examples == 16 * len(names)
    for name in names:
        text = f"a {WORDS[name][0]} with {WORDS[name][2]}"
        prediction = classifier.predict(text, embed([text])[0])
        assert next(iter(prediction.probabilities)) == name
        assert set(prediction.probabilities) == set(names)
        assert sum(prediction.probabilities.values()) == pytest.approx(1, abs=1e-5)
        assert prediction.in_scope
        assert any(word in prediction.nearest_example for word in WORDS[name])


def test_gibberish_and_empty_texts_are_out_of_scope() -> None:
    classifier, _ = train_classifier(examples("cats", "dogs", "fish"))
    away = np.zeros(DIMENSIONS, dtype=np.float32)
    away[-1] = 1
    for text in ("xqzj vvkx", "", "....", "你好"):
        assert not classifier.predict(text, away).in_scope


def test_the_scope_threshold_rejects_the_given_share_of_held_out_examples() -> None:
    everything = examples("cats", "dogs", "fish")
    _, report = train_classifier(everything, in_scope_rejection=0.25)
    assert report.in_scope_rejection == pytest.approx(0.25, abs=0.03)


def test_held_out_examples_replace_cross_validation() -> None:
    everything = examples("cats", "dogs")
    rows = np.arange(32)
    classifier, report = train_classifier(
        everything.take(rows[rows % 4 > 0]), held_out=everything.take(rows[rows % 4 == 0])
    )
    assert report.accuracy == 1
    assert len(classifier.example_texts) == 24


def test_order_of_examples_does_not_matter() -> None:
    everything = examples("cats", "dogs", "fish")
    shuffled = everything.take(np.random.default_rng(1).permutation(len(everything.texts)))
    text = "one leash"
    first, _ = train_classifier(everything)
    second, _ = train_classifier(shuffled)
    one = first.predict(text, embed([text])[0]).probabilities
    other = second.predict(text, embed([text])[0]).probabilities
    assert one["dogs"] > 0.6
    assert one == pytest.approx(other, abs=0.1)  # folds differ, the scorer does not


def test_survives_storage() -> None:
    classifier, _ = train_classifier(examples("cats", "dogs", "fish"), fingerprint="embedder-1")
    restored = from_bytes(to_bytes(classifier))
    assert restored.fingerprint == "embedder-1"
    assert restored.size_bytes > 0
    for text in ("a kitten", "12 scales", "woof!"):
        vector = embed([text])[0]
        before, after = classifier.predict(text, vector), restored.predict(text, vector)
        assert after.probabilities == pytest.approx(before.probabilities, abs=1e-3)
        assert (after.in_scope, after.nearest_example) == (before.in_scope, before.nearest_example)


def test_damaged_bytes_are_refused() -> None:
    payload = to_bytes(train_classifier(examples("cats", "dogs"))[0])
    for broken in (b"", b"not a model", payload[:-50], payload[: len(payload) // 2]):
        with pytest.raises(BrokenModel):
            from_bytes(broken)


def test_bytes_of_other_features_are_refused() -> None:
    payload = to_bytes(train_classifier(examples("cats", "dogs"))[0])
    with np.load(io.BytesIO(payload)) as loaded:
        arrays = {name: loaded[name] for name in loaded.files}
    header = json.loads(arrays["header"].tobytes()) | {"features_version": 0}
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    older = io.BytesIO()
    np.savez(older, **arrays)
    with pytest.raises(BrokenModel, match="features version 0"):
        from_bytes(older.getvalue())


def test_pickled_objects_are_never_loaded() -> None:
    hostile = io.BytesIO()
    np.savez(hostile, header=np.array([{"a": 1}], dtype=object))
    with pytest.raises(BrokenModel):
        from_bytes(hostile.getvalue())


@given(st.integers(0, 2**32 - 1), st.floats(0.3, 3))
@settings(max_examples=20, deadline=None)
def test_temperature_recovers_how_much_scores_were_stretched(seed: int, stretch: float) -> None:
    random = np.random.default_rng(seed)
    scores = random.normal(scale=2, size=(3_000, 4))
    labels = np.array([random.choice(4, p=row) for row in softmax(scores, 1.0)])
    temperature = fit_temperature(scores * stretch, labels)
    assert temperature == pytest.approx(stretch, rel=0.2)
    calibrated = softmax(scores * stretch, temperature)
    error = expected_calibration_error(calibrated.max(axis=1), calibrated.argmax(axis=1) == labels)
    assert error < 0.05


def test_calibration_error_by_hand() -> None:
    confidence = np.array([0.95, 0.95, 0.95, 0.95, 0.35, 0.35])
    is_correct = np.array([True, True, True, False, False, True])
    expected = (4 / 6) * abs(0.95 - 0.75) + (2 / 6) * abs(0.35 - 0.5)
    assert expected_calibration_error(confidence, is_correct) == pytest.approx(expected)
