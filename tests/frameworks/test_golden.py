"""Numbers measured on the published vectors of Beauty, through the public training and evaluation."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hyperllm.backbones import HGCF
from hyperllm.config import build
from hyperllm.data.sources.published import read_published
from hyperllm.data.split import Split
from hyperllm.data.tags import TagGraph
from hyperllm.evaluation.evaluate import evaluate
from hyperllm.frameworks import HyperLLMConfig, Trained, train_hyperllm
from hyperllm.frameworks.config import COMPAT
from hyperllm.frameworks.phase1 import Phase1Vectors
from hyperllm.serving.model import ScoreModel
from hyperllm.training.loop import FitConfig

pytestmark = pytest.mark.data
METRICS = ("recall@10", "recall@20", "ndcg@10", "ndcg@20")


@dataclass(frozen=True)
class Beauty:
    split: Split
    tags: TagGraph
    vectors: Phase1Vectors


@pytest.fixture(scope="module")
def beauty() -> Beauty:
    folder = Path(os.environ.get("HYPERLLM_DATA") or "absent") / "amazon-beauty"
    if not (folder / "phase1_published.npz").is_file():
        pytest.skip("HYPERLLM_DATA does not name a folder with amazon-beauty/phase1_published.npz")
    raw = read_published(folder)
    split = raw.interactions
    assert isinstance(split, Split)
    assert raw.tags is not None
    vectors = Phase1Vectors.load(folder / "phase1_published.npz", users=split.users, items=split.items)
    return Beauty(split, raw.tags, vectors)


def measured(split: Split, trained: Trained, part: Any, mask: Any = "train") -> list[float]:
    model = ScoreModel.of_points(split, users=trained.users, items=trained.items)
    found = evaluate(model, split, part=part, mask=mask, metrics=("recall", "ndcg")).metrics
    return [found[name] for name in METRICS]


def propagated(beauty: Beauty, *, compat: bool, radius: float | None) -> Trained:
    return train_hyperllm(
        beauty.split,
        phase1=beauty.vectors,
        backbone=HGCF(HGCF.config_class(radius=radius)),
        config=HyperLLMConfig(variant="only-semantic", compat=compat),
    )


@pytest.mark.parametrize(
    ("compat", "radius", "valid"),
    [
        (True, 1.5, (0.0987, 0.1527, 0.0529, 0.0670)),
        (False, 1.5, (0.0980, 0.1509, 0.0526, 0.0664)),
        (False, None, (0.0958, 0.1454, 0.0518, 0.0648)),
        (True, None, (0.0955, 0.1437, 0.0514, 0.0641)),
    ],
)
def test_the_published_vectors_rank_validation_items_as_measured(
    beauty: Beauty, compat: bool, radius: float | None, valid: tuple[float, ...]
) -> None:
    found = measured(beauty.split, propagated(beauty, compat=compat, radius=radius), "valid")
    np.testing.assert_allclose(found, valid, atol=2e-4)


def test_the_published_vectors_rank_test_items_as_measured(beauty: Beauty) -> None:
    trained = propagated(beauty, compat=True, radius=1.5)
    np.testing.assert_allclose(measured(beauty.split, trained, "test"), (0.0986, 0.1468, 0.0536, 0.0663), atol=2e-4)
    _, recall, _, ndcg = measured(beauty.split, trained, "test", "train+valid")
    assert recall == pytest.approx(0.1480, abs=2e-4)
    assert ndcg == pytest.approx(0.0680, abs=2e-4)


def test_one_epoch_of_phase_2_as_published_gives_the_published_epochs_numbers(
    beauty: Beauty,
) -> None:
    """The first phase-2 epoch, in the published code's order of batches but another random state."""
    config, limits = build((HyperLLMConfig, FitConfig), {**COMPAT["hyperllm"], "epochs": 1})
    trained = train_hyperllm(beauty.split, tags=beauty.tags, phase1=beauty.vectors, config=config, fit_config=limits)
    np.testing.assert_allclose(measured(beauty.split, trained, "test"), (0.1036, 0.1540, 0.0569, 0.0701), atol=2e-3)
