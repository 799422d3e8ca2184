"""The embed stage: whose text is encoded, that no held-out click reaches a vector, and what is done once."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperllm import artifacts
from hyperllm.data import sets
from hyperllm.data.interactions import Pairs
from hyperllm.data.prepare import load_catalog, load_split, prepare
from hyperllm.data.semantics import Semantics
from hyperllm.data.sources.table import read_table
from hyperllm.data.split import Split
from hyperllm.data.tags import TagGraph
from hyperllm.errors import ConfigError, MisalignedArrays, ProviderUnavailable
from hyperllm.extraction import encode as room
from hyperllm.extraction.config import ExtractConfig
from hyperllm.extraction.corpus import with_tags
from hyperllm.extraction.encode import embed, mean_of_training_items
from hyperllm.extraction.extract import extract
from hyperllm.extraction.profiles import load_users
from hyperllm.extraction.tagged import NAMED_TAGS
from hyperllm.ids import Vocabulary
from hyperllm.llm.hashing import HashEncoder


def semantics(workspace, name: str = "hash") -> Semantics:
    split = load_split(workspace)
    return Semantics.load(workspace / "semantics" / name, users=split.users, items=split.items)


class Listening(HashEncoder):
    """The hashing encoder, remembering what it read; after ``dies_after`` texts the power fails."""

    def __init__(self, dies_after: int = 10**9) -> None:
        super().__init__(64)
        self.read: list[str] = []
        self.dies_after = dies_after

    def encode(self, texts: Sequence[str], *, progress=None):
        if len(self.read) + len(texts) > self.dies_after:
            raise KeyboardInterrupt
        self.read += texts
        return super().encode(texts, progress=progress)


def use(monkeypatch, encoder: HashEncoder) -> None:
    """Whatever encoder is asked for, this one is used."""
    monkeypatch.setattr(room, "opened_encoder", lambda name, remote, **options: nullcontext(encoder))


@pytest.fixture
def listening(monkeypatch) -> Listening:
    encoder = Listening()
    use(monkeypatch, encoder)
    return encoder


def test_vectors_of_items_and_training_means(workspace):
    done = embed(workspace, encoder="hash")
    found, split = semantics(workspace), load_split(workspace)
    expected = HashEncoder().encode(load_catalog(workspace).texts())
    np.testing.assert_array_equal(found.item_vectors, expected)
    for user in range(6):
        mine = split.train.item[split.train.user == user]
        np.testing.assert_allclose(found.user_vectors[user], expected[mine].mean(axis=0), atol=1e-6)
    assert (done.name, done.dim, done.skipped) == ("hash", 512, False)
    assert "hash: 512-dimensional" in done.text()


def pairs(of: list[tuple[int, int]]) -> Pairs:
    table = np.array(of, dtype=np.int64).reshape(-1, 2)
    return Pairs(table[:, 0], table[:, 1])


clicks = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), max_size=8)


@given(clicks, clicks, clicks)
def test_held_out_clicks_cannot_change_any_user_vector(train, held, other):
    users, items = Vocabulary(tuple("uvwx")), Vocabulary(tuple("abcde"))
    vectors = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    one, two = (Split(users, items, pairs(train), pairs(h), pairs(h)) for h in (held, other))
    np.testing.assert_array_equal(mean_of_training_items(one, vectors), mean_of_training_items(two, vectors))


@pytest.mark.parametrize("users", ["mean", "summary"])
def test_nor_through_the_whole_stage(workspace, users, tmp_path):
    """Other held-out clicks, the same training clicks: the same vectors, to the bit, through extract and embed."""
    split = load_split(workspace)
    found: list[Semantics] = []
    for swapped in (False, True):
        valid, test = (split.test, split.valid) if swapped else (split.valid, split.test)
        valid = Pairs(valid.user, (valid.item + 1) % 6) if swapped else valid
        replace(split, valid=valid, test=test).save(workspace / "split", config={"swapped": swapped}, inputs={})
        extract(workspace, ExtractConfig(llm="scripted"))
        embed(workspace, encoder="hash", profiles="scripted", users=users)
        found.append(semantics(workspace))
    np.testing.assert_array_equal(found[0].user_vectors, found[1].user_vectors)
    np.testing.assert_array_equal(found[0].item_vectors, found[1].item_vectors)
    assert found[0].user_vectors.any(axis=1).all()


def test_training_clicks_do_change_them():
    users, items = Vocabulary(("u",)), Vocabulary(("a", "b"))
    vectors = np.eye(2, dtype=np.float32)
    means = [
        mean_of_training_items(Split(users, items, pairs(train), pairs([]), pairs([])), vectors).tolist()
        for train in ([(0, 0)], [(0, 1)], [(0, 0), (0, 1)], [(0, 0), (0, 0), (0, 1)], [])
    ]
    assert means == [[[1, 0]], [[0, 1]], [[0.5, 0.5]], [[0.5, 0.5]], [[0, 0]]]


def test_items_without_text_do_not_pull_a_mean_towards_zero():
    split = Split(Vocabulary(("u",)), Vocabulary(("a", "b")), pairs([(0, 0), (0, 1)]), pairs([]), pairs([]))
    vectors = np.array([[1, 0], [0, 0]], dtype=np.float32)
    assert mean_of_training_items(split, vectors).tolist() == [[1, 0]]


def graph(items: Vocabulary, tag_items: list[tuple[int, int]], names: Sequence[str]) -> TagGraph:
    return TagGraph(
        tags=Vocabulary(tuple(str(n) for n in range(len(names)))),
        items=items,
        names=tuple(names),
        level=np.full(len(names), -1),
        tag_items=np.array(tag_items, dtype=np.int64).reshape(-1, 2),
        tag_edges=np.zeros((0, 2), dtype=np.int64),
        directed=False,
    )


def test_tags_stand_after_the_text_the_rarest_shared_first(catalog):
    made = catalog({"title": "Lamp"}, {}, {"title": "Rug"})
    tags = graph(made.items, [(0, 0), (0, 1), (0, 2), (1, 0), (2, 0), (2, 1)], ["home", "once", "light"])
    assert list(with_tags(made.texts(), tags)) == [
        "Lamp. Tags: light, home, once.",
        "Tags: light, home.",
        "Rug. Tags: home.",
    ]
    assert list(with_tags(made.texts(), None)) == ["Lamp.", "", "Rug."]


def test_not_more_tags_than_fit(catalog):
    made = catalog({"title": "Lamp"})
    many = graph(made.items, [(n, 0) for n in range(100)], [f"t{n}" for n in range(100)])
    assert next(with_tags(made.texts(), many)).count(",") == NAMED_TAGS - 1


def test_which_tag_set_is_read(workspace, listening):
    extract(workspace)
    embed(workspace)
    assert "Jigsaws" in listening.read[0]
    assert "Tags: " in listening.read[0]
    embed(workspace, tags="none")
    assert "Tags: " not in listening.read[-1]
    graph(load_split(workspace).items, [(0, 0)], ["Imported"]).save(
        workspace / "tags" / "published", config={}, inputs={}
    )
    extract(workspace, ExtractConfig(llm="scripted"))  # newer than the import
    embed(workspace)
    assert any(text.endswith("Tags: Imported.") for text in listening.read)
    embed(workspace, tags="scripted")
    assert "Imported" not in listening.read[-6]
    with pytest.raises(ConfigError, match="no set 'nope' in tags/; there are"):
        embed(workspace, tags="nope")


def test_summaries_of_a_profile_set(workspace, listening):
    extract(workspace, ExtractConfig(llm="scripted"))
    embed(workspace, profiles="scripted", tags="none", users="summary")
    assert 6 < len(listening.read) <= 12, "users with the same summary are encoded once"
    assert listening.read[6].startswith("Likes ")
    found = semantics(workspace)
    told = {p.user_id: p.summary for p in load_users(workspace / "profiles" / "scripted")}
    summaries = [told[user] for user in load_split(workspace).users.ids]
    np.testing.assert_array_equal(found.user_vectors, HashEncoder(64).encode(summaries))


def test_summaries_that_are_not_there(workspace):
    extract(workspace)
    with pytest.raises(ConfigError, match="'keywords' has no user summaries"):
        embed(workspace, encoder="hash", profiles="keywords", users="summary")
    with pytest.raises(ConfigError, match="needs a profile set"):
        embed(workspace, encoder="hash", users="summary")
    with pytest.raises(ConfigError, match="'mean' or 'summary'"):
        embed(workspace, encoder="hash", users="median")


def test_done_once_and_again_when_an_input_changed(workspace, listening):
    assert not embed(workspace).skipped
    assert embed(workspace).skipped
    assert len(listening.read) == 6
    extract(workspace)
    assert not embed(workspace).skipped, "there are tags now"
    manifest = artifacts.read(workspace / "semantics" / "hash", "semantics")
    assert manifest.config["tags"] == "keywords"
    assert manifest.config["encoder"] == "hash"


def test_an_interruption_loses_at_most_a_block(workspace, monkeypatch):
    monkeypatch.setattr(room, "BLOCK", 2)
    first, second = Listening(dies_after=4), Listening()
    use(monkeypatch, first)
    with pytest.raises(KeyboardInterrupt):
        embed(workspace)
    assert not (workspace / "semantics" / "hash").exists()
    use(monkeypatch, second)
    seen: list[tuple[int, int]] = []
    embed(workspace, progress=lambda done, total: seen.append((done, total)))
    assert (len(first.read), len(second.read)) == (4, 2)
    assert seen == [(2, 6), (4, 6), (6, 6)]
    np.testing.assert_array_equal(
        semantics(workspace).item_vectors, HashEncoder(64).encode(load_catalog(workspace).texts())
    )
    assert sets.names(workspace, "semantics") == ["hash"]


def test_a_grown_catalogue_costs_its_new_texts_only(workspace, tmp_path, monkeypatch):
    use(monkeypatch, first := Listening())
    embed(workspace)
    assert len(first.read) == 6
    events, items = tmp_path / "raw" / "clicks.csv", tmp_path / "raw" / "items.csv"
    items.write_text(items.read_text(encoding="utf-8").replace("Plush cat soft", "Plush cat hard"), encoding="utf-8")
    prepare(workspace, read_table(events, items))
    use(monkeypatch, second := Listening())
    assert not embed(workspace).skipped
    assert [text for text in second.read if "hard" in text] == second.read
    assert len(second.read) == 1
    expected = HashEncoder(64).encode(load_catalog(workspace).texts())
    np.testing.assert_array_equal(semantics(workspace).item_vectors, expected)


def test_a_wrong_request_fails_before_a_model_is_fetched(workspace, monkeypatch):
    def unexpected(name, remote, **options):
        raise AssertionError("a model was fetched")

    monkeypatch.setattr(room, "opened_encoder", unexpected)
    with pytest.raises(ConfigError, match="no set"):
        embed(workspace, tags="nope")


def test_a_fall_back_is_told_and_the_set_bears_the_real_name(workspace, monkeypatch):
    from hyperllm.llm import encoders as encoder

    def fails(threads, say):
        raise ProviderUnavailable("no route")

    for name in ("minilm", "wordllama"):
        monkeypatch.setitem(encoder.ENCODERS, name, fails)
    done = embed(workspace)
    assert done.name == "hash"
    assert (workspace / "semantics" / "hash").is_dir()
    assert "'wordllama' is used instead" in done.text()
    assert "'hash' is used instead" in done.text()


def test_imported_vectors_are_published(workspace, tmp_path):
    vectors = np.arange(18, dtype=np.float32).reshape(6, 3) + 1
    np.savez(tmp_path / "v.npz", items=vectors, users=-vectors)
    done = embed(workspace, encoder=f"file:{tmp_path / 'v.npz'}")
    found = semantics(workspace, "published")
    np.testing.assert_array_equal(found.item_vectors, vectors)
    np.testing.assert_array_equal(found.user_vectors, -vectors)
    assert (done.name, done.dim, done.skipped) == ("published", 3, False)
    assert embed(workspace, encoder=f"file:{tmp_path / 'v.npz'}").skipped
    np.save(tmp_path / "v.npy", vectors)
    alone = embed(workspace, encoder=f"file:{tmp_path / 'v.npy'}")
    assert "mean of their training items' vectors" in alone.text()
    np.testing.assert_allclose(
        semantics(workspace, "published").user_vectors, mean_of_training_items(load_split(workspace), vectors)
    )
    np.save(tmp_path / "v.npy", vectors[:5])
    with pytest.raises(MisalignedArrays, match="6 items"):
        embed(workspace, encoder=f"file:{tmp_path / 'v.npy'}")
    assert semantics(workspace, "published").item_vectors.shape == (6, 3), "what was there stays"
