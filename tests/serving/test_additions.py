"""Added items outlive the process, a new training, and a killed writer; the run itself is not touched."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.serving.coherent import EACH, shop
from tests.serving.test_newcomers import ROWS, new

from hyperllm import artifacts
from hyperllm.errors import ArtifactError, ProviderUnavailable
from hyperllm.extraction.profiles import ItemProfile, Origin
from hyperllm.serving.additions import Additions, Taken
from hyperllm.serving.model import ScoreModel
from hyperllm.serving.newcomers import encoder_for, place
from hyperllm.serving.recommender import Recommender


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with a model in it."""
    folder = tmp_path / "runs" / "mine"
    with artifacts.writing(folder, "run") as work:
        shop().model.save(work / "model")
    return folder


def add(run: Path) -> ScoreModel:
    model = ScoreModel.load(run / "model")
    placed = place(model, new(), encode=encoder_for(model)[0])
    Additions.beside(run).add(new(), placed)
    return placed.model


def ids(run: Path) -> list[str]:
    return [added.item_id for added in Additions.beside(run).kept()]


def test_they_are_there_when_the_run_is_opened_again(run: Path) -> None:
    made = add(run)
    for path in (run, run / "model", str(run)):
        again = Recommender.load(path)
        assert again.items.ids[-2:] == ("n1", "n2")
        np.testing.assert_allclose(again.model.item_vectors[-2:], made.item_vectors[-2:], rtol=1e-6)
        assert again.describe("n1").categories == ("Beauty", "Makeup", "Lipstick")
    assert len(ScoreModel.load(run / "model").items) == len(made.items) - 2
    artifacts.read(run, "run")


def test_a_run_without_any_has_no_file(run: Path) -> None:
    assert len(Recommender.load(run).items) == 48
    assert [p.name for p in run.parent.iterdir()] == ["mine"]


def test_they_outlive_a_new_training_that_may_know_one_of_them(run: Path) -> None:
    made = add(run)
    keep = [row for row, item in enumerate(made.items.ids) if item != "n2"]
    trained = replace(
        shop().model,
        items=type(made.items)(tuple(made.items.ids[row] for row in keep)),
        item_vectors=made.item_vectors[keep],
        seen=made.seen[:, keep],
        catalog=made.catalog.without(["n2"]),
        tags=None,
        content=None,
    )
    trained.save(run / "model")
    again = Recommender.load(run / "model")
    assert again.items.ids == trained.items.ids  # without texts and tags n2 has no place; it stays in the file
    assert ids(run) == ["n1", "n2"]


def test_another_recipe_makes_the_vectors_anew(run: Path) -> None:
    add(run)
    with sqlite3.connect(Additions.beside(run).path) as db:
        db.execute("UPDATE items SET recipe = 'another'")
    made = Recommender.load(run).model
    assert made.items.ids[-2:] == ("n1", "n2")


def test_an_id_is_added_once_and_can_be_forgotten(run: Path) -> None:
    add(run)
    with pytest.raises(Taken, match="'n1' was added before"):
        add(run)
    assert Additions.beside(run).forget(["n1", "i03"]) == ["n1"]
    assert ids(run) == ["n2"]
    assert Recommender.load(run).items.ids[-1] == "n2"


def test_without_the_encoder_they_stay_by_their_tags(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object, **__: object) -> None:
        raise ProviderUnavailable("no encoder here")

    add(run)
    with sqlite3.connect(Additions.beside(run).path) as db:
        db.execute("UPDATE items SET recipe = NULL, vector = NULL WHERE item_id = 'n1'")
        db.execute("UPDATE items SET recipe = 'another' WHERE item_id = 'n2'")
    monkeypatch.setattr("hyperllm.serving.newcomers.make_encoder", gone)
    made = Recommender.load(run)
    assert made.items.ids[-2:] == ("n1", "n2")
    assert sum(int(item[1:]) // EACH == 2 for item in made.similar(["n1"], 4).item_ids if item[0] == "i") >= 3


def test_profiles_and_methods_are_kept(run: Path) -> None:
    model = ScoreModel.load(run / "model")
    profile = ItemProfile("n9", "a lipstick", (("Beauty",), ("Makeup",), ("Lipstick",)), (), Origin("m"))
    item = new({"item_id": "n9", "title": "Zzz", "brand": None, "categories": []})
    placed = place(model, item, profiles={"n9": profile})
    Additions.beside(run).add(item, placed, profiles={"n9": profile})
    again = Recommender.load(run)
    assert [tag.name for tag in again.describe("n9").tags] == ["Makeup", "Lipstick"]
    np.testing.assert_array_equal(again.model.item_vectors[-1], placed.model.item_vectors[-1])


def test_a_method_that_the_next_model_has_not_gives_way(run: Path) -> None:
    add(run)
    with sqlite3.connect(Additions.beside(run).path) as db:
        db.execute("UPDATE items SET method = 'experts'")
    assert Recommender.load(run).items.ids[-2:] == ("n1", "n2")


def test_one_by_one_is_as_good_as_together(run: Path) -> None:
    together = add(run)
    Additions.beside(run).forget(["n1", "n2"])
    model = ScoreModel.load(run / "model")
    for row in ROWS:
        placed = place(model, new(row), encode=encoder_for(model)[0])
        Additions.beside(run).add(new(row), placed)
        model = placed.model
    np.testing.assert_array_equal(model.item_vectors, together.item_vectors)
    np.testing.assert_array_equal(Recommender.load(run).model.item_vectors, together.item_vectors)


def test_a_file_that_is_none(run: Path) -> None:
    Additions.beside(run).path.write_text("this is no database, but long enough to be looked at")
    with pytest.raises(ArtifactError, match="cannot be used"):
        Recommender.load(run)
