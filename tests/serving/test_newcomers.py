"""New items stand among their kind, are found at once, and change nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from tests.serving.coherent import DIM, EACH, FLAT, shop

from hyperllm.data.catalog import Catalog
from hyperllm.errors import ConfigError, DataError, ProviderUnavailable
from hyperllm.extraction.profiles import ItemProfile, Origin
from hyperllm.serving.content import Experts
from hyperllm.serving.model import ScoreModel
from hyperllm.serving.newcomers import encoder_for, place
from hyperllm.serving.recommender import Recommender

ROWS = [
    {
        "item_id": "n1",
        "title": "Lipstick number 9",
        "brand": "Maker 1",
        "categories": ["Beauty", "Makeup", "Lipstick"],
    },
    {"item_id": "n2", "title": "Something", "brand": None, "categories": ["Beauty", "Hair", "Brush"]},
]


def new(*rows: dict[str, object]) -> Catalog:
    return Catalog.of(pl.DataFrame(list(rows or ROWS)))


@pytest.fixture(params=["lorentz", "fused", "inner"])
def model(request: pytest.FixtureRequest) -> ScoreModel:
    kinds = {"lorentz": {}, "fused": {"flat": FLAT}, "inner": {"geometry": "inner"}}
    return shop(**kinds[request.param]).model  # pyright: ignore[reportArgumentType]


def test_they_stand_among_their_kind(model: ScoreModel) -> None:
    placed = place(model, new(), encode=encoder_for(model)[0])
    us = Recommender(placed.model)
    for item, shelf in (("n1", 2), ("n2", 1)):
        near = us.similar([item], k=5).item_ids
        assert sum(int(other[1:]) // EACH == shelf for other in near if other[0] == "i") >= 4
    assert [item.by for item in placed.items] == ["text", "text"]
    assert [tag.name for tag in placed.items[0].tags] == ["Makeup", "Lipstick"]
    assert placed.items[0].near[0].share >= placed.items[0].near[-1].share
    assert sum(near.share for near in placed.items[0].near) <= 1 + 1e-6


def test_nothing_else_moves(model: ScoreModel) -> None:
    made = place(model, new(), encode=encoder_for(model)[0]).model
    known = len(model.items)
    np.testing.assert_array_equal(made.item_vectors[:known], model.item_vectors)
    np.testing.assert_array_equal(made.seen.toarray()[:, :known], model.seen.toarray())
    assert made.items.ids[:known] == model.items.ids
    assert made.tags is not None
    assert model.tags is not None
    np.testing.assert_array_equal(made.tags.tag_items[: len(model.tags.tag_items)], model.tags.tag_items)
    before, after = (Recommender(m).recommend(model.users.ids, k=5, filter_seen=False) for m in (model, made))
    kept = [row for row in after if row.item_id in model.items]
    assert {row.item_id for row in kept if row.user_id == "u01"} <= {
        row.item_id for row in Recommender(model).recommend(["u01"], k=7, filter_seen=False)
    }
    assert len(before) == len(after)


def test_they_are_recommended_explained_and_folded(model: ScoreModel) -> None:
    us = Recommender(place(model, new(), encode=encoder_for(model)[0]).model)
    lover = next(u for u in us.users.ids if sum(int(i[1:]) // EACH == 2 for i in us.history(u)) == 5)
    assert "n1" in us.recommend([lover], k=12).item_ids
    reasons = us.explain(lover, "n1").reasons
    assert reasons is not None
    assert reasons.tag_path == ("Makeup", "Lipstick")
    assert any(int(row.item_id[1:]) // EACH == 2 for row in us.fold_in({"guest": ["n1"]}, k=3) if row.item_id[0] == "i")
    assert us.describe("n1").clicks == 0


def test_without_texts_tags_place(model: ScoreModel) -> None:
    silent = replace(model, content=None)
    encode, remark = encoder_for(silent)
    assert encode is None
    assert remark is not None
    assert "by their tags" in remark
    placed = place(silent, new())
    assert [item.by for item in placed.items] == ["tags", "tags"]
    assert sum(int(other[1:]) // EACH == 2 for other in Recommender(placed.model).similar(["n1"], k=4).item_ids) >= 3


def test_an_item_like_nothing_is_refused_and_none_is_placed(model: ScoreModel) -> None:
    nothing = {"item_id": "n3", "title": None, "brand": None, "categories": []}
    with pytest.raises(DataError, match="nothing known is like 'n3'"):
        place(model, new(*ROWS, nothing), encode=encoder_for(model)[0])
    with pytest.raises(DataError, match="has the item 'i03' already"):
        place(model, new({"item_id": "i03", "title": "x"}))


def test_written_profiles_take_the_place_of_the_catalogues_words(model: ScoreModel) -> None:
    profile = ItemProfile("n9", "a lipstick", (("Beauty",), ("Makeup",), ("Lipstick", "unheard of")), (), Origin("m"))
    item = {"item_id": "n9", "title": "Zzz", "brand": None, "categories": []}
    placed = place(replace(model, content=None), new(item), profiles={"n9": profile})
    assert [tag.name for tag in placed.items[0].tags] == ["Makeup", "Lipstick"]


def test_summaries_are_missed_aloud(model: ScoreModel) -> None:
    assert model.content is not None
    written = replace(model, content=replace(model.content, recipe={**model.content.recipe, "profiles": "gpt"}))
    assert "written summaries" in place(written, new(), encode=encoder_for(written)[0]).notes[0]


def test_the_experts_way() -> None:
    model = shop().model
    encode = encoder_for(model)[0]
    with pytest.raises(ConfigError, match="keeps no experts"):
        place(model, new(), encode=encode, method="experts")
    with pytest.raises(ConfigError, match="neighbours"):
        place(model, new(), encode=encode, method="best")  # pyright: ignore[reportArgumentType]
    assert model.content is not None
    size, rng = model.content.vectors.shape[1], np.random.default_rng(0)
    experts = Experts(
        np.zeros(size, np.float32),
        np.eye(size, 8, dtype=np.float32),
        *(rng.standard_normal(shape).astype(np.float32) for shape in ((2, 8), (2,), (2 * DIM, 8), (2 * DIM,))),
    )
    able = replace(model, content=replace(model.content, experts=experts))
    by = {way: place(able, new(), encode=encode, method=way) for way in ("neighbours", "experts")}  # type: ignore[arg-type]
    radii = [by[way].model.radii[-2:] for way in by]
    np.testing.assert_allclose(*radii, rtol=1e-4)
    vectors = by["experts"].vectors
    assert vectors is not None
    towards, point = experts.tangent(vectors)[0], by["experts"].model.item_points[-2, 1:]
    np.testing.assert_allclose(towards / np.linalg.norm(towards), point / np.linalg.norm(point), atol=1e-5)


def test_another_version_of_the_encoder_is_refused() -> None:
    model = shop().model
    assert model.content is not None
    old = replace(model, content=replace(model.content, recipe={**model.content.recipe, "version": "0"}))
    encode, _ = encoder_for(old)
    assert encode is not None
    with pytest.raises(ProviderUnavailable, match="version"):
        encode(["text"])
    imported = replace(model, content=replace(model.content, recipe={"encoder": "import"}))
    assert "cannot be made here" in str(encoder_for(imported)[1])


def test_data_frames_in(tmp_path: object) -> None:
    us, placed = Recommender(shop().model).add_items(pl.DataFrame(ROWS[:1]))
    assert "n1" in us.items
    assert placed.items[0].title == "Lipstick number 9"
    assert "n1" not in Recommender(shop().model).items
