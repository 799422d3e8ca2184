"""What one training of a search comes to: its numbers, its place among others, and how it is ended early."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from hyperllm import artifacts
from hyperllm.data.prepare import prepare
from hyperllm.data.sources.table import read_table
from hyperllm.errors import ConfigError, TrainingDiverged
from hyperllm.experiments.train import TrainRequest
from hyperllm.experiments.trial import Trial, Work, ranked
from hyperllm.extraction.extract import extract
from hyperllm.training.report import SELECTION

REQUEST = TrainRequest(
    framework="base",
    settings={"dim": 4, "batch_size": 512, "epochs": 4, "average": 0.0, "checkpoint_every_s": 0},
)


@pytest.fixture
def shop(raw: Path, tmp_path: Path) -> Path:
    prepare(tmp_path / "shop", read_table(raw / "clicks.csv", raw / "items.csv"), source="table")
    return tmp_path / "shop"


@dataclass
class Judge:
    """Remembers what it was told, and gives up at an epoch."""

    at: int | None = None
    told: list[int] = field(default_factory=list)

    def __call__(self, epoch: int, score: float) -> bool:
        assert 0 <= score <= 4
        self.told.append(epoch)
        return epoch == self.at


class Stopper:
    """Interrupts a training after two epochs."""

    def step(self, *_: Any) -> None:
        """Nothing."""

    def epoch(self, _: str, epoch: Any, __: Any) -> None:
        if epoch.number == 2:
            raise KeyboardInterrupt


def trial(ended: Any, *scores: float) -> Trial:
    return Trial({}, "", ended, 0.0, scores)


def test_the_later_of_equal_epochs_is_the_best() -> None:
    made = trial("epochs", 0.2, 0.5, 0.1, 0.5, 0.3)
    assert (made.score, made.best_epoch, made.epochs, made.early(1)) == (0.5, 4, 5, 0.2)
    assert made.document() == {
        **{"settings": {}, "made_from": "", "ended": "epochs", "elapsed_s": 0.0},
        **{"score": 0.5, "best_epoch": 4, "epochs": 5},
    }
    nothing = trial("diverged")
    assert (nothing.score, nothing.best_epoch, nothing.epochs) == (0.0, 0, 0)


def test_finished_trials_come_first_and_diverged_ones_last() -> None:
    best, other = trial("patience", 0.3), trial("epochs", 0.2)
    pruned, diverged = trial("pruned", 0.9), trial("diverged", 1.0)
    assert ranked([diverged, other, pruned, best]) == [best, other, pruned, diverged]
    with pytest.raises(TrainingDiverged, match=r"epoch 2.*every candidate"):
        ranked([diverged])


def test_settings_go_over_the_requests(shop: Path) -> None:
    one, other = (Work.of(shop, REQUEST, {"dim": dim}) for dim in (4, 6))
    assert (one.plan.config["dim"], other.plan.config["dim"], other.plan.config["epochs"]) == (4, 6, 4)
    assert one.digest == Work.of(shop, REQUEST, {}).digest != other.digest
    assert one.run.startswith("base.try-")
    assert one.judged("base")
    with pytest.raises(ConfigError, match="baseline"):
        Work.of(shop, TrainRequest(baseline="ease"), {})


def test_it_ends_where_it_is_hopeless(shop: Path) -> None:
    judge = Judge(at=3)
    found = Work.of(shop, REQUEST, {}).train(shop, judge)
    assert (found.ended, found.epochs, judge.told) == ("pruned", 3, [1, 2, 3])


@pytest.mark.parametrize("at", [None, 2])
def test_a_continued_training_tells_the_epochs_before_too(shop: Path, at: int | None) -> None:
    work = Work.of(shop, REQUEST, {})
    with pytest.raises(KeyboardInterrupt):
        work.train(shop, Judge(at), progress=Stopper())
    judge, whole = Judge(at), Work.of(shop, replace(REQUEST, run="whole"), {})
    found = work.train(shop, judge)
    assert judge.told == list(range(1, found.epochs + 1)) == ([1, 2] if at else [1, 2, 3, 4])
    assert found.scores == whole.train(shop, Judge(at)).scores


@pytest.mark.parametrize("at", [None, 2])
def test_a_finished_training_is_judged_as_if_it_trained(shop: Path, at: int | None) -> None:
    work = Work.of(shop, REQUEST, {})
    whole = work.train(shop, Judge())
    judge = Judge(at)
    found = work.train(shop, judge)
    assert found.scores == whole.scores[:at]
    assert (found.ended, judge.told) == (("pruned", [1, 2]) if at else ("epochs", [1, 2, 3, 4]))


def test_the_winner_gets_the_name_and_the_rest_goes(shop: Path) -> None:
    earlier, winner, loser = (Work.of(shop, REQUEST, {"dim": dim}) for dim in (2, 4, 6))
    for work, at in ((earlier, None), (winner, None), (loser, 1)):
        work.train(shop, Judge(at))
        if work is earlier:
            work.settle(shop)
    winner.settle(shop)
    winner.settle(shop)
    assert sorted(path.name for path in (shop / "runs").iterdir()) == ["base", "base.1"]


def test_what_counts_is_what_the_linear_expert_made_of_it(shop: Path) -> None:
    extract(shop)
    settings = {**REQUEST.settings, "linear_expert": True, "linear_rank": 8, "variant": "structural"}
    judge = Judge()
    request = replace(REQUEST, framework="hyperllm", settings=settings)
    done = Work.of(shop, request, {"linear_share": 0.5}).train(shop, judge)
    run = next((shop / "runs").glob("*.try-*"))
    phases = artifacts.read(run, "run").facts["phases"]
    assert phases["phase 3"]["share"] == 0.5
    assert done.scores[-1] == pytest.approx(sum(phases["phase 3"]["valid"][name] for name in SELECTION))
    assert judge.told == [1, 2, 3, 4]  # no share is taken for an epoch
    assert len(done.scores) == 5
