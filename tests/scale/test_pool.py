"""How trials share a cluster, and what of a failed one comes back; without Ray."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hyperllm.errors import ConfigError
from hyperllm.experiments.trial import Trial
from hyperllm.scale import pool
from hyperllm.scale.cluster import Cluster
from hyperllm.scale.pool import RayPool


@pytest.mark.parametrize(
    ("cluster", "asked", "trials"),
    [
        (Cluster(cpus=2, gpus=0, node="here"), {}, (2, 1, 0)),
        (Cluster(cpus=9, gpus=0, node="here"), {}, (4, 2, 0)),
        (Cluster(cpus=9, gpus=0, node="here"), {"at_once": 6}, (6, 1, 0)),
        (Cluster(cpus=9, gpus=2, node="here"), {}, (2, 4, 1)),
        (Cluster(cpus=9, gpus=2, node="here"), {"gpus": False}, (4, 2, 0)),
        (Cluster(cpus=64, gpus=0, node="here", machines=((8, 0),) * 8), {}, (4, 8, 0)),
        (Cluster(cpus=64, gpus=8, node="here", machines=((8, 1),) * 8), {}, (4, 8, 1)),
        (Cluster(cpus=12, gpus=4, node="here", machines=((4, 0), (8, 4))), {}, (4, 2, 1)),
        (Cluster(cpus=10, gpus=0, node="here", machines=((6, 0), (2, 0), (2, 0))), {}, (4, 2, 0)),
    ],
)
def test_trials_share_the_processors_and_have_a_gpu_each(
    cluster: Cluster, asked: dict[str, Any], trials: tuple[int, int, int]
) -> None:
    found = RayPool.of(Path("shop"), cluster, **asked)
    assert (found.at_once, found.cpus, found.gpus) == trials


def test_a_search_that_is_done_asks_tune_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tune = pytest.importorskip("ray.tune", reason="Ray is not installed: pip install 'hyperllm[ray]'")

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("Tune was asked")

    monkeypatch.setattr(tune, "run", never)
    RayPool(tmp_path, 1, 1).run(iter(()), never)
    with pytest.raises(AssertionError, match="Tune was asked"):
        RayPool(tmp_path, 1, 1).run(iter([lambda *, progress: None]), never)  # pyright: ignore[reportArgumentType]


def test_what_a_trial_raises_is_raised_where_it_was_asked_for() -> None:
    def wrong(*, progress: Any) -> Trial:
        raise ConfigError("no such setting")

    def broken(*, progress: Any) -> Trial:
        raise KeyError("a mistake")

    for training, error, told in (
        (wrong, ConfigError, r"\Ano such setting\Z"),
        (broken, RuntimeError, r"in broken(?s:.*)KeyError: 'a mistake'"),
    ):
        with pytest.raises(error, match=told):
            pool._trial(pool._work({"training": training}))


def test_what_a_trial_came_to_is_what_the_search_hears() -> None:
    trial = Trial({"margin": 1.0}, "digest", "epochs", 0.1, [1.0])
    assert pool._trial(pool._work({"training": lambda *, progress: trial})) is trial
