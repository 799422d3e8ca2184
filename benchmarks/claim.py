"""The claim itself on planted worlds, over ten seeds: `make bench WHAT=claim`.

Hyperbolic against flat at equal dimension, where the world is a tree and where it is a grid: HGCF of curvature 1, its
twin of curvature 0.001, which is the same model with flat distances, and LightGCN. Then what tags add: to users of few
and of many clicks in one world, beside the same tags on the wrong items, and to worlds of few and of many clicks. All
models that are compared have equally many candidate settings; the validation parts of two more worlds choose among
them, and the test parts of the ten are read once.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy import special
from worlds import table

from hyperllm.backbones import HGCF
from hyperllm.backbones.base import Backbone, BackboneConfig
from hyperllm.backbones.lightgcn import LightGCN, LightGCNConfig
from hyperllm.data.split import Split
from hyperllm.data.tags import TagGraph
from hyperllm.evaluation.evaluate import Evaluation, evaluate
from hyperllm.evaluation.groups import by_activity
from hyperllm.frameworks import BaseConfig, HyperLLMConfig
from hyperllm.frameworks.train import Trained, train_base, train_hyperllm
from hyperllm.serving.model import ScoreModel
from hyperllm.testing.worlds import PlantedWorld, Tree, click_chances, deep_tree_world, grid_distances, grid_world
from hyperllm.training.loop import FitConfig

CHOOSING = (1000, 1001)
DIMS = (2, 4, 8)
SHARED = {"optimizer": "adam", "parametrisation": "tangent", "weight_decay": 0.0, "batch_size": 1024}
STOP = FitConfig(epochs=150, patience=150, average=0.9)  # no end before: a wide margin first falls, then rises
STOP_TAGS = FitConfig(epochs=80, patience=80, average=0.9)
METRICS = ("recall@10", "ndcg@10")


@dataclass(frozen=True)
class Setting:
    """What is chosen on validation."""

    margin: float = 0.0
    learning_rate: float = 0.03
    radius: float | None = None
    weight_decay: float = 0.0
    contrast_weight: float | None = None

    def __str__(self) -> str:
        told = [f"lr {self.learning_rate:g}"]
        told += [f"margin {self.margin:g}"] if self.margin else []
        told += [f"radius {self.radius:g}"] if self.radius else []
        told += [f"decay {self.weight_decay:g}"] if self.weight_decay else []
        told += [f"contrast {self.contrast_weight:g}"] if self.contrast_weight else []
        return ", ".join(told)


_OF_DISTANCES = [*(Setting(margin) for margin in (0.5, 2, 8, 32)), Setting(8, 0.01), Setting(2, radius=1.5)]
_OF_PRODUCTS = [Setting(0, rate, weight_decay=decay) for rate in (0.01, 0.03, 0.1) for decay in (0.0, 1e-3)]
GEOMETRIES = {"hyperbolic": _OF_DISTANCES, "flat": _OF_DISTANCES, "LightGCN": _OF_PRODUCTS}
_MARGINS = [Setting(2), Setting(8), Setting(32), Setting(8, 0.01)]
_WITH_TAGS = [replace(setting, contrast_weight=1.0) for setting in _MARGINS]
TAGGED = {"base": _MARGINS, "structural": _WITH_TAGS, "wrong tags": _WITH_TAGS, "full": _WITH_TAGS}
CLICKS = (1, 2, 4, 8)
TAG_DIM = 8
_GAIN = ["", "clicks", "difference", "95 %", "above 0"]

WORLDS: dict[str, Callable[[int], Split]] = {
    "tree": lambda seed: deep_tree_world(seed=seed).split,
    "grid": lambda seed: grid_world(seed=seed),
}
DISTANCES = {"tree": Tree(8, 2).distances, "grid": partial(grid_distances, 16)}


def backbone(model: str, radius: float | None) -> Backbone:
    """The three geometries."""
    if model == "LightGCN":
        return LightGCN(LightGCNConfig(radius=radius))
    return HGCF(BackboneConfig(curvature=1.0 if model == "hyperbolic" else 1e-3, radius=radius))


def config(dim: int, setting: Setting) -> dict[str, Any]:
    """What all configurations share."""
    chosen = {"margin": setting.margin, "learning_rate": setting.learning_rate, "weight_decay": setting.weight_decay}
    return {**SHARED, **chosen, "dim": dim}


def by_geometry(model: str, split: Split, setting: Setting, *, dim: int, seed: int, stop: FitConfig = STOP) -> Trained:
    """One of the three geometries, without tags."""
    settings = BaseConfig(**config(dim, setting))
    return train_base(split, backbone=backbone(model, setting.radius), config=settings, fit_config=stop, seed=seed)


def by_tags(model: str, world: PlantedWorld, setting: Setting, *, seed: int) -> Trained:
    """The hyperbolic backbone alone, or with tags, or with tags and texts."""
    if model == "base":
        return by_geometry("hyperbolic", world.split, setting, dim=TAG_DIM, seed=seed, stop=STOP_TAGS)
    settings = HyperLLMConfig(
        **config(TAG_DIM, setting),
        variant="full" if model == "full" else "structural",
        tag_margin=setting.margin,
        contrast_weight=setting.contrast_weight or 0.0,
        experts=8,
        text_dim=None,
    )
    return train_hyperllm(
        world.split,
        tags=misplaced(world.tags, seed) if model == "wrong tags" else world.tags,
        semantics=world.semantics if model == "full" else None,
        backbone=backbone("hyperbolic", setting.radius),
        config=settings,
        fit_config=STOP_TAGS,
        seed=seed,
    )


def misplaced(tags: TagGraph, seed: int) -> TagGraph:
    """The same tags, each item with those of another."""
    other = np.random.default_rng(seed).permutation(len(tags.items))
    return replace(tags, tag_items=np.stack([tags.tag_items[:, 0], other[tags.tag_items[:, 1]]], axis=1))


def tagged_world(seed: int) -> PlantedWorld:
    """A tree on each leaf of which stand four users, of one, two, four and eight clicks."""
    return deep_tree_world(users_per_place=len(CLICKS), clicks=CLICKS, seed=seed)


def even_world(clicks: int, seed: int) -> PlantedWorld:
    """A tree whose users click equally often."""
    return deep_tree_world(clicks=clicks, seed=seed)


def chosen(settings: Sequence[Setting], world: Callable[[int], Any], train: Callable[..., Trained]) -> Setting:
    """The setting with the highest mean validation score over the worlds that serve for nothing else."""

    def score(setting: Setting) -> float:
        reports = [list(train(world(seed), setting, seed=seed).reports.values())[-1] for seed in CHOOSING]
        return sum(report.best.selection for report in reports if report.best is not None)

    return max(settings, key=score)


def tested(trained: Trained, split: Split) -> Evaluation:
    """On the test part."""
    model = ScoreModel.of_points(split, users=trained.users, items=trained.items, geometry=trained.geometry)
    return evaluate(model, split, k=(10,), mask="train+valid")


def ceiling(name: str, split: Split) -> dict[str, float]:
    """Metrics of the chances that the clicks were drawn from."""
    chance = click_chances(DISTANCES[name](), spread=16).astype(np.float32)
    eye = np.repeat(np.eye(len(chance), dtype=np.float32), len(split.users) // len(chance), axis=0)
    model = ScoreModel.of_points(split, users=eye, items=chance, geometry="inner")
    return evaluate(model, split, k=(10,), mask="train+valid").metrics


def spread(values: Iterable[float]) -> str:
    """Mean ± standard deviation."""
    found = np.array(list(values))
    return f"{found.mean():.3f} ± {found.std(ddof=1):.3f}"


def paired(gaps: Iterable[float]) -> list[str]:
    """Mean difference, its 95 % t interval, and in how many worlds it is above 0."""
    found = np.array(list(gaps))
    n = len(found)
    half = special.stdtrit(n - 1, 0.975) * found.std(ddof=1) / np.sqrt(n)
    mean = found.mean()
    return [f"{mean:+.3f}", f"{mean - half:+.3f} to {mean + half:+.3f}", f"{int((found > 0).sum())}/{n}"]


def compare_geometries(seeds: int) -> None:
    """Two tables, and the settings they rest on."""
    rows: dict[str, list[list[str]]] = {metric: [] for metric in METRICS}
    settings: list[list[str]] = []
    for name, world in WORLDS.items():
        splits = [world(seed) for seed in range(seeds)]
        best = [ceiling(name, split) for split in splits]
        for dim in DIMS:
            found: dict[str, list[Mapping[str, float]]] = {}
            picked: list[str] = []
            for model, candidates in GEOMETRIES.items():
                train = partial(by_geometry, model, dim=dim)
                setting = chosen(candidates, world, train)
                picked.append(str(setting))
                found[model] = [
                    tested(train(split, setting, seed=seed), split).metrics for seed, split in enumerate(splits)
                ]
            settings.append([name, str(dim), *picked])
            for metric in METRICS:
                values = {model: [one[metric] for one in told] for model, told in found.items()}
                gaps = np.subtract(values["hyperbolic"], values["flat"])
                top = f"{np.mean([one[metric] for one in best]):.3f}"
                rows[metric].append([name, str(dim), top, *map(spread, values.values()), *paired(gaps)])
    for metric in METRICS:
        print(f"\n{metric}, test, {seeds} seeds; difference: hyperbolic − flat")
        table(["world", "dim", "ceiling", *GEOMETRIES, "difference", "95 %", "above 0"], rows[metric])
    print("\nchosen on validation")
    table(["world", "dim", *GEOMETRIES], settings)


def compare_activity(seeds: int) -> None:
    """Recall of users of few and of many clicks in one world, and what tags add to it."""
    worlds = [tagged_world(seed) for seed in range(seeds)]
    recall: dict[str, np.ndarray] = {}  # (seeds, groups)
    rows: list[list[str]] = []
    for model, candidates in TAGGED.items():
        train = partial(by_tags, model)
        setting = chosen(candidates, tagged_world, train)
        recall[model] = np.stack(
            [recall_by_activity(train(world, setting, seed=seed), world.split) for seed, world in enumerate(worlds)]
        )
        rows.append([model, *map(spread, recall[model].T), str(setting)])
    print(f"\nrecall@10, test, {seeds} seeds, tree, dim {TAG_DIM}, by training clicks of the user")
    table(["", *map(str, CLICKS), "chosen on validation"], rows)
    print("\ngain over base, by training clicks of the user")
    table(_GAIN, [row for model in list(TAGGED)[1:] for row in gains(model, recall[model] - recall["base"])])


def compare_density(seeds: int) -> None:
    """The same of worlds in which everyone clicks as little, or as much."""
    recall: dict[str, list[list[float]]] = {"base": [], "structural": []}  # (densities, seeds)
    rows: list[list[str]] = []
    for clicks in CLICKS:
        world = partial(even_world, clicks)
        row = [str(clicks)]
        for model, found in recall.items():
            setting = chosen(TAGGED[model], world, partial(by_tags, model))
            planted = [(seed, world(seed)) for seed in range(seeds)]
            tests = [tested(by_tags(model, one, setting, seed=seed), one.split) for seed, one in planted]
            found.append([test.metrics["recall@10"] for test in tests])
            row += [spread(found[-1]), str(setting)]
        rows.append(row)
    print(f"\nrecall@10, test, {seeds} seeds, tree, dim {TAG_DIM}, by training clicks of every user")
    table(["clicks", "base", "chosen on validation", "structural", "chosen on validation"], rows)
    print("\ngain over base, by training clicks of every user")
    table(_GAIN, gains("structural", np.subtract(recall["structural"], recall["base"]).T))


def gains(model: str, gain: np.ndarray) -> list[list[str]]:
    """One row a number of clicks of ``gain`` (seeds, numbers of clicks), and fewest less most."""
    rows = [[model, str(clicks), *paired(column)] for clicks, column in zip(CLICKS, gain.T, strict=True)]
    return [*rows, [model, f"{CLICKS[0]} less {CLICKS[-1]}", *paired(gain[:, 0] - gain[:, -1])]]


def recall_by_activity(trained: Trained, split: Split) -> np.ndarray:
    """(groups,) test recall@10, fewest clicks first."""
    return by_activity(tested(trained, split), split, groups=len(CLICKS))["recall@10"].to_numpy()


PARTS = {"geometry": compare_geometries, "activity": compare_activity, "density": compare_density}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="worlds of each kind, at least 2")
    parser.add_argument("--only", choices=list(PARTS))
    asked = parser.parse_args()
    torch.set_num_threads(1)  # the matrices are small
    for name, compare in PARTS.items():
        if asked.only in (None, name):
            compare(asked.seeds)


if __name__ == "__main__":
    main()
