"""The encoder that needs no model: its arithmetic by hand, and the same answer in every process."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperllm.errors import ConfigError
from hyperllm.llm.hashing import HashEncoder


def slot(feature: str, dim: int) -> tuple[int, int]:
    value = int.from_bytes(hashlib.blake2b(feature.encode(), digest_size=8).digest(), "little")
    return (value // 2) % dim, 1 if value % 2 else -1


def test_by_hand():
    expected = np.zeros(64)
    for feature, count in {"red": 2, "shoe": 1, "red red": 1, "red shoe": 1}.items():
        column, sign = slot(feature, 64)
        expected[column] += sign * np.log(1 + count)
    expected /= np.linalg.norm(expected)
    np.testing.assert_allclose(HashEncoder(64).encode(["Red red, SHOE!"])[0], expected, rtol=1e-6)


@given(st.lists(st.text(), max_size=6))
def test_rows_are_unit_or_zero(texts):
    vectors = HashEncoder(32).encode(texts)
    assert vectors.shape == (len(texts), 32)
    assert vectors.dtype == np.float32
    lengths = np.linalg.norm(vectors, axis=1)
    assert np.all((np.abs(lengths - 1) < 1e-5) | (lengths == 0))


@given(st.lists(st.text(), min_size=1, max_size=5), st.text())
def test_a_row_depends_on_its_own_text_only(texts, other):
    encoder = HashEncoder(32)
    np.testing.assert_array_equal(encoder.encode(texts)[0], encoder.encode([texts[0], other])[0])


def test_blank_texts_are_zero_rows():
    assert not HashEncoder().encode(["", " \n", "?!"]).any()


def test_forms_of_one_letter_are_one_letter():
    composed, decomposed, wide = HashEncoder().encode(["é abc", "e\u0301 abc", "é ａｂｃ"])
    np.testing.assert_array_equal(composed, decomposed)
    np.testing.assert_array_equal(composed, wide)


def test_shared_words_bring_texts_together():
    a, b, c = HashEncoder().encode(["wooden jigsaw puzzle", "jigsaw puzzle box", "leather running shoe"])
    assert a @ b > 0.4
    assert abs(a @ c) < 0.2


def test_another_process_gives_the_same_bytes():
    code = (
        "import hashlib; from hyperllm.llm.hashing import HashEncoder;"
        "print(hashlib.sha256(HashEncoder(128).encode(['a wooden puzzle','größe']).tobytes()).hexdigest())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_environment(seed)
        ).stdout.strip()
        for seed in ("1", "2")
    }
    here = hashlib.sha256(HashEncoder(128).encode(["a wooden puzzle", "größe"]).tobytes()).hexdigest()
    assert found == {here}


def _environment(seed: str) -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}


def test_progress_ends_at_the_total():
    seen: list[tuple[int, int]] = []
    HashEncoder(8).encode(["a"] * 2050, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1024, 2050), (2048, 2050), (2050, 2050)]


def test_no_columns_is_an_error():
    with pytest.raises(ConfigError, match="at least one column"):
        HashEncoder(0)
