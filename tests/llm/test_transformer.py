"""The sentence-transformers encoder on a tiny random model made on the spot: no download, nothing printed."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
import torch

from hyperllm.errors import ProviderUnavailable
from hyperllm.llm.cache import cache_folder
from hyperllm.llm.encoder import TextEncoder
from hyperllm.llm.encoders import make_encoder
from hyperllm.llm.packaged import MINILM
from hyperllm.llm.transformer import TransformerEncoder, _fingerprint

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "puzzle", "shoe", "red", "wooden"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A BERT of one layer and eight columns, as a sentence-transformers folder."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    place = tmp_path_factory.mktemp("tiny")
    (place / "vocab.txt").write_text("\n".join(WORDS))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=16,
    )  # fmt: skip
    BertModel(config).save_pretrained(place)
    BertTokenizerFast(vocab={word: row for row, word in enumerate(WORDS)}).save_pretrained(place)
    (place / "1_Pooling").mkdir()
    (place / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": 8, "pooling_mode_mean_tokens": True})
    )
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling")]
    modules = [
        {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for n, (path, kind) in enumerate(kinds)
    ]
    (place / "modules.json").write_text(json.dumps(modules))
    return place


@pytest.fixture(scope="module")
def encoder(folder) -> TransformerEncoder:
    return TransformerEncoder("tiny", folder, dim=8, version="1", threads=1)


def test_unit_rows_in_the_order_of_the_texts(encoder):
    assert isinstance(encoder, TextEncoder)
    texts = ["red wooden puzzle", "", "shoe", "red shoe red shoe red shoe", " "]
    together = encoder.encode(texts)
    assert together.shape == (5, 8)
    assert together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), [1, 0, 1, 1, 0], atol=1e-5)
    for row in (0, 2, 3):
        np.testing.assert_allclose(encoder.encode([texts[row]])[0], together[row], atol=1e-5)


def test_progress_counts_blank_texts_too(encoder):
    seen: list[tuple[int, int]] = []
    encoder.encode(["red"] * 300 + [""] * 10, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(266, 310), (310, 310)]


def test_nothing_is_printed_and_settings_come_back(folder, capfd, caplog):
    from transformers.utils import logging as transformers_logging

    shown = transformers_logging.is_progress_bar_enabled()
    before = torch.get_num_threads()
    with caplog.at_level(logging.WARNING):
        TransformerEncoder("tiny", folder, dim=8, threads=before + 1).encode(["red"])
    assert torch.get_num_threads() == before
    assert transformers_logging.is_progress_bar_enabled() == shown
    assert capfd.readouterr() == ("", "")
    assert caplog.text == ""


def test_another_width_than_promised_is_refused(folder):
    with pytest.raises(ProviderUnavailable, match="vectors of 8 columns; 'tiny' should give 9"):
        TransformerEncoder("tiny", folder, dim=9)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ProviderUnavailable, match="cannot be loaded"):
        TransformerEncoder("tiny", tmp_path / "nowhere", dim=8)


def test_a_folder_of_this_machine_is_named_by_what_it_holds(folder, encoder):
    found = make_encoder(f"sentence-transformers:{folder}", threads=1)
    assert isinstance(found, TransformerEncoder)
    assert (found.name, found.dim) == (folder.name, 8)
    np.testing.assert_allclose(found.encode(["red shoe"]), encoder.encode(["red shoe"]), atol=1e-6)


def test_another_model_in_a_folder_is_another_version(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.bin").write_bytes(name.encode())
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "model.bin").write_bytes(b"a")
    versions = [_fingerprint(tmp_path / name) for name in "abc"]
    assert versions[0] == versions[2] != versions[1]


def test_a_named_model_is_never_replaced_by_another():
    with pytest.raises(ProviderUnavailable, match=r"'\./no/such/folder' cannot be loaded"):
        make_encoder("sentence-transformers:./no/such/folder")


def test_the_packaged_model_loads_by_its_folder():
    kept = cache_folder() / "models" / f"minilm-{MINILM.version}"
    if not kept.is_dir():
        pytest.skip("the cache holds no minilm; `hyperllm embed` puts it there")
    encoder = make_encoder(f"sentence-transformers:{kept}", threads=1)
    puzzle, other, shoe = encoder.encode(["a wooden jigsaw puzzle", "a puzzle with 500 pieces", "running shoes"])
    assert encoder.dim == 384
    assert puzzle @ other > 0.3 > 0.2 > puzzle @ shoe
