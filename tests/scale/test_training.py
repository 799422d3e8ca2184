"""`train` on Ray Train writes the run of one process; what several processes cannot do is refused before a start."""

from __future__ import annotations

from collections.abc import Generator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from hyperllm.cli import main
from hyperllm.data.prepare import prepare
from hyperllm.data.sources.planted import ShopConfig, invent_shop
from hyperllm.data.sources.table import read_table
from hyperllm.experiments.train import TrainRequest
from hyperllm.experiments.train import train as alone
from hyperllm.scale.cluster import joined
from hyperllm.scale.training import train
from hyperllm.serving.model import ScoreModel
from hyperllm.training.report import Epoch, FitReport

SHORT = {"dim": 5, "batch_size": 512, "epochs": 2}
ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'hyperllm[ray]'")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("workers")
    invent_shop(ShopConfig(users=150, items=100, clicks=10)).write(place / "raw")
    prepare(place / "shop", read_table(place / "raw" / "clicks.csv", place / "raw" / "items.csv"), source="table")
    return place / "shop"


@pytest.fixture(scope="module")
def _joined() -> Generator[None]:
    with joined(cpus=2):
        yield


class Heard:
    """Epochs that were told of."""

    def __init__(self) -> None:
        self.epochs: list[int] = []

    def step(self, phase: str, epoch: int, step: int, steps: int) -> None:
        """Nothing of it."""

    def epoch(self, phase: str, epoch: Epoch, report: FitReport) -> None:
        self.epochs.append(epoch.number)


@ray
@pytest.mark.ray
@pytest.mark.usefixtures("_joined")
def test_two_workers_write_the_run_of_one_process(shop: Path) -> None:
    heard = Heard()
    done = train(shop, TrainRequest(framework="base", run="two", settings=SHORT), workers=2, progress=heard)
    one = alone(shop, TrainRequest(framework="base", run="one", settings=SHORT))
    assert not done.skipped
    assert done.facts["phases"]["base"]["valid"] == pytest.approx(one.facts["phases"]["base"]["valid"], abs=1e-9)
    found, expected = (ScoreModel.load(shop / "runs" / name / "model") for name in ("two", "one"))
    np.testing.assert_allclose(found.item_vectors, expected.item_vectors, atol=1e-4)
    assert heard.epochs == [1, 2]
    assert not list(shop.glob(".ray-*")), "what Ray kept is left behind"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--workers", "2"), "--workers is for --ray"),
        (("--replicas", "2"), "--replicas is for several processes"),
        (("--baseline", "ease", "--ray"), "--baseline ease"),
        (("--framework", "bass", "--ray"), "choose one of"),
        (("--framework", "kar", "--ray"), "base and hyperllm"),
        (("--framework", "base", "--compat", "--ray"), "without --compat"),
    ],
)
def test_refusals_need_no_start(
    words: tuple[str, ...], said: str, shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(shop), *words]) == 2
    assert said in capsys.readouterr().err
