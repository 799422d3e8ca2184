"""Added items outlive the process, a new training, and a killed writer; the run itself is not touched."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.serving.coherent import shop
from tests.serving.test_newcomers import new

from hyperllm import artifacts
from hyperllm.errors import ArtifactError
from hyperllm.serving.additions import Additions
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
    assert Additions.beside(run).kept().catalog.items.ids == ("n1", "n2")


def test_another_recipe_makes_the_vectors_anew(run: Path) -> None:
    add(run)
    with sqlite3.connect(Additions.beside(run).path) as db:
        db.execute("UPDATE items SET recipe = 'another'")
    made = Recommender.load(run).model
    assert made.items.ids[-2:] == ("n1", "n2")


def test_forgotten_and_replaced(run: Path) -> None:
    add(run)
    kept = Additions.beside(run)
    kept.forget(["n1"])
    assert kept.kept().catalog.items.ids == ("n2",)
    add(run)
    assert set(kept.kept().catalog.items.ids) == {"n1", "n2"}


def test_a_file_that_is_none(run: Path) -> None:
    Additions.beside(run).path.write_text("this is no database, but long enough to be looked at")
    with pytest.raises(ArtifactError, match="cannot be used"):
        Recommender.load(run)
