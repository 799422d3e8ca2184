"""The encoder of one table: means of rows, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from hyperllm.llm.encoder import TextEncoder
from hyperllm.llm.static import StaticEncoder


@pytest.fixture
def encoder() -> StaticEncoder:
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "b": 1, "?": 2}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return StaticEncoder("toy", "1", tokenizer, np.array([[3.0, 0.0], [0.0, 4.0], [1.0, 1.0]]))


def test_mean_of_rows_then_unit(encoder):
    assert isinstance(encoder, TextEncoder)
    vectors = encoder.encode(["a", "a b", "b unknown", "", "  "])
    expected = [[1, 0], [0.6, 0.8], [1 / np.sqrt(26), 5 / np.sqrt(26)], [0, 0], [0, 0]]
    np.testing.assert_allclose(vectors, expected, rtol=1e-6)
    assert vectors.dtype == np.float32


def test_no_texts(encoder):
    assert encoder.encode([]).shape == (0, 2)


def test_progress(encoder):
    seen: list[tuple[int, int]] = []
    encoder.encode(["a"] * 513, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(512, 513), (513, 513)]
