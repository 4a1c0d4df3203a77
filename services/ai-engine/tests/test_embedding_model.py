"""The exported encoder says what the original model says. Needs the exported files; see the skip reason."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from ai_engine.embeddings.model import SentenceEncoder, micro_batches

MODEL_DIR = Path(os.environ.get("MODEL_DIR", "/opt/models/all-MiniLM-L6-v2"))
REFERENCE = json.loads((Path(__file__).parent / "data" / "reference_embeddings.json").read_text())

needs_model = pytest.mark.skipif(
    not (MODEL_DIR / "model.onnx").exists(),
    reason=f"no encoder in {MODEL_DIR}: it is exported in the image; set MODEL_DIR to what build_onnx.py wrote",
)


@pytest.fixture(scope="module")
def encoder() -> SentenceEncoder:
    return SentenceEncoder(MODEL_DIR)


@needs_model
@pytest.mark.parametrize("case", REFERENCE["cases"], ids=lambda case: repr(case["text"][:20]))
def test_every_sentence_is_embedded_as_by_the_original(encoder: SentenceEncoder, case: dict[str, object]) -> None:
    [vector] = encoder.encode([str(case["text"])])
    expected = np.array(case["embedding"], dtype=np.float32)
    assert vector @ expected / np.linalg.norm(expected) > 0.9999
    assert np.abs(vector - expected).max() < 1e-4


@needs_model
def test_company_changes_nothing(encoder: SentenceEncoder) -> None:
    """Padding and micro-batches are invisible, and the order is kept."""
    texts = [case["text"] for case in REFERENCE["cases"]]
    together = encoder.encode(texts)
    alone = np.concatenate([encoder.encode([text]) for text in texts])
    assert np.abs(together - alone).max() < 1e-5


@needs_model
def test_vectors_have_length_one_and_tell_topics_apart(encoder: SentenceEncoder) -> None:
    vectors = encoder.encode(["copper and tin ores with ingots", "new metals: tin, copper", "a pet dog that barks"])
    assert encoder.dimensions == vectors.shape[1] == 384
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2


@needs_model
def test_text_beyond_the_token_limit_is_cut(encoder: SentenceEncoder) -> None:
    start = "stone " * 254
    first, second = encoder.encode([start, start + "and then something else entirely " * 100])
    assert np.array_equal(first, second) or np.abs(first - second).max() < 1e-6


@pytest.mark.parametrize(
    ("lengths", "batches"),
    [
        ([], []),
        ([5], [[0]]),
        ([90, 10, 10], [[1, 2], [0]]),
        ([10, 60, 10, 60], [[0, 2], [1], [3]]),
        ([400, 400], [[0], [1]]),
    ],
)
def test_micro_batches_group_similar_lengths_within_the_budget(lengths: list[int], batches: list[list[int]]) -> None:
    assert micro_batches(lengths, batch_tokens=100) == batches
