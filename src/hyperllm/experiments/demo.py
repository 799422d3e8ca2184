"""The whole job on an invented shop: raw files to five recommendations and a report.

Runs the same stages as the command line, in a workspace that can be used further; whatever is done is not redone. Knows
the settings of its four models, each chosen on the validation part of this shop. Does not know how anything is shown.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from hyperllm import artifacts
from hyperllm.baselines.ease import ease
from hyperllm.data.prepare import PrepareConfig, prepare
from hyperllm.data.sources.planted import ShopConfig, invent_shop
from hyperllm.data.sources.table import read_table
from hyperllm.data.split import Split
from hyperllm.errors import ConfigError, choose
from hyperllm.evaluation.compare import Comparison
from hyperllm.evaluation.evaluate import evaluate
from hyperllm.experiments.measure import compare_runs
from hyperllm.experiments.report import write_report
from hyperllm.experiments.train import TrainRequest, train
from hyperllm.experiments.workspace import Workspace
from hyperllm.extraction.config import ExtractConfig
from hyperllm.extraction.encode import embed
from hyperllm.extraction.extract import extract
from hyperllm.frameworks.train import Progress
from hyperllm.llm.encoders import ENCODERS
from hyperllm.serving.frames import Recommendations
from hyperllm.serving.recommender import Recommender
from hyperllm.training.report import SELECTION

RUNS = ("hyperllm", "base", "ease", "popularity")
SHOWN_USERS = 5
SHOWN_ITEMS = 5
REGULARISATIONS = (20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)

COMMON: dict[str, Any] = {
    "batch_size": 1024,
    "optimizer": "adam",
    "parametrisation": "tangent",
    "weight_decay": 1e-5,
    "epochs": 100,
    "patience": 15,
    "average": 0.99,
}
"""Small data: smaller batches than the default, so that an epoch still has several steps."""

SETTINGS: dict[str, Mapping[str, Any]] = {
    "base": {**COMMON, "learning_rate": 0.002, "margin": 1.0},
    "hyperllm": {
        **COMMON,
        "learning_rate": 0.001,
        "margin": 1.6,
        "contrast_weight": 1.0,
        "experts": 8,
        "meta_learning_rate": 0.0003,
        "meta_margin": 1.0,
        "text_dim": 64,
        "user_radius": 0.36,
        "item_radius": 1.42,
    },
}
"""Chosen by the validation score alone, on the shops of seeds 0 and 1: base among 34 settings, HyperLLM among 18 (and
both roughly on earlier drafts of the shop)."""

COMMAND = "hyperllm demo"
Say = Callable[[str], None]


class Watcher(Progress, Protocol):
    """Hears which stage runs, how far it is, and of training."""

    def stage(self, what: str) -> None:
        """Another stage begins."""
        ...

    def count(self, done: int, total: int | None = None, note: str = "") -> None:
        """``done`` of ``total`` pieces of this stage are finished."""
        ...


@dataclass(frozen=True)
class DemoResult:
    """The workspace, all models measured against HyperLLM (the reference), one user's items, and the report."""

    workspace: Path
    comparison: Comparison
    recommendations: Recommendations
    report: Path
    elapsed_s: float

    def document(self) -> dict[str, Any]:
        """As a JSON object; differences are model − HyperLLM."""
        return {
            "workspace": str(self.workspace),
            "users": self.comparison.users,
            "models": [asdict(cell) for cell in self.comparison.cells],
            "recommendations": self.recommendations.documents(),
            "report": str(self.report),
            "elapsed_s": round(self.elapsed_s, 1),
        }


def demo(
    out: Path,
    *,
    seed: int = 0,
    encoder: str = "minilm",
    llm: str = "keywords",
    say: Say = print,
    progress: Watcher | None = None,
    shop: ShopConfig | None = None,
) -> DemoResult:
    """Invent a shop in ``out``, train four models on it, compare them, recommend, and write ``out/report.html``.

    ``say`` hears one sentence a stage. ``shop`` makes another shop than the usual one. Raises `ConfigError` where
    ``out`` is somebody's workspace.
    """
    config = ExtractConfig(llm=llm)
    choose(encoder, ENCODERS, what="encoder")
    began = time.monotonic()
    watcher = progress or _Deaf()
    _prepare(out, shop or ShopConfig(seed=seed), say, watcher)
    _texts(out, config, encoder=encoder, say=say, watcher=watcher)
    _train(out, seed=seed, say=say, watcher=watcher)
    watcher.stage("measuring")
    comparison = compare_runs(out, RUNS, command=COMMAND)
    users = shown_users(Workspace.opened(out).split(), seed=seed)
    model = Recommender.load(out / "runs" / "hyperllm" / "model")
    found = model.recommend(users[:1], SHOWN_ITEMS, explain=True)
    report = write_report(out, out / "report.html", comparison=comparison, users=users)
    return DemoResult(out, comparison, found, report, time.monotonic() - began)


def shown_users(split: Split, *, seed: int = 0) -> list[str]:
    """Five users drawn from the seed alone, so that nobody picks the ones that look good."""
    count = min(SHOWN_USERS, len(split.users))
    return split.users.take(np.random.default_rng(seed).choice(len(split.users), count, replace=False))


def _prepare(out: Path, shop: ShopConfig, say: Say, watcher: Watcher) -> None:
    if artifacts.peek(out / "split") is not None and not (out / "raw" / "clicks.csv").exists():
        raise ConfigError(f"{str(out)!r} is a workspace that no demo made; name another folder with --out")
    watcher.stage("inventing a shop")
    clicks, items = invent_shop(shop).write(out / "raw")
    say(f"an invented shop (seed {shop.seed}) -> {clicks}, {items}")
    report = prepare(out, read_table(clicks, items), config=PrepareConfig(seed=shop.seed))
    say(report.text())


def _texts(out: Path, config: ExtractConfig, *, encoder: str, say: Say, watcher: Watcher) -> None:
    watcher.stage(f"extracting with {config.llm}")
    say(extract(out, config, progress=watcher.count).text())
    watcher.stage(f"encoding with {encoder}")
    say(embed(out, encoder=encoder, progress=watcher.count).text())


def _train(out: Path, *, seed: int, say: Say, watcher: Watcher) -> None:
    watcher.stage("fitting popularity and EASE")
    strength = best_regularisation(Workspace.opened(out).split())
    requests = [
        TrainRequest(baseline="popularity", seed=seed),
        TrainRequest(baseline="ease", settings={"regularisation": strength}, seed=seed),
        *(TrainRequest(framework=name, settings=SETTINGS[name], seed=seed) for name in ("base", "hyperllm")),
    ]
    for request in requests:
        done = train(out, request, progress=watcher)
        note = f" (regularisation {strength:g}, the best on validation)" if request.baseline == "ease" else ""
        say(f"{done.name}: {'found done' if done.skipped else 'trained'}{note}{_phases(done.facts)}")


def _phases(facts: Mapping[str, Any]) -> str:
    told = [
        f"; {phase}: best of {f['epochs']} epochs is {f['best_epoch']}, valid R@20 {f['valid']['recall@20']:.4f}, "
        f"{f['elapsed_s']} s"
        for phase, f in facts.get("phases", {}).items()
    ]
    return "".join(told)


def best_regularisation(split: Split) -> float:
    """The λ of EASE^R with the best validation score among `REGULARISATIONS`; the smaller one wins a tie."""

    def score(strength: float) -> float:
        metrics = evaluate(ease(split, regularisation=strength), split, part="valid").metrics
        return sum(metrics[name] for name in SELECTION)

    return max(REGULARISATIONS, key=score)


class _Deaf:
    """A `Watcher` that shows nothing."""

    def stage(self, what: str) -> None: ...

    def count(self, done: int, total: int | None = None, note: str = "") -> None: ...

    def step(self, phase: str, epoch: int, step: int, steps: int) -> None: ...

    def epoch(self, phase: str, epoch: Any, report: Any) -> None: ...
