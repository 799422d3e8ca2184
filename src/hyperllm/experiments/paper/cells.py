"""The cells of the paper's tables and figures as runs of a workspace.

A cell is a backbone and what is added to it; its runs are named ``BACKBONE-VARIANT-SEED``. Knows what each is trained
from, that a finished one is found done, and which runs' phase 1 it shares. Does not know tables or figures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import polars as pl

from hyperllm import artifacts
from hyperllm.backbones import BACKBONES
from hyperllm.baselines import BASELINES
from hyperllm.errors import ConfigError, DataError, TrainingDiverged, choose
from hyperllm.experiments.measure import per_user
from hyperllm.experiments.paper.plain import tuned_settings
from hyperllm.experiments.paper.tables import PLAIN
from hyperllm.experiments.presets import PARTS, PRESETS
from hyperllm.experiments.train import TrainRequest, chosen_device, planned, train
from hyperllm.experiments.workspace import RUN, Workspace
from hyperllm.frameworks import FRAMEWORKS
from hyperllm.frameworks.config import HyperLLMConfig
from hyperllm.frameworks.train import Progress
from hyperllm.serving.model import ScoreModel
from hyperllm.training.loop import FitConfig
from hyperllm.training.report import CLOSED_FORM, SELECTION, that_trained

Key = tuple[str, str]
"""(backbone, variant), or (`PLAIN`, baseline)"""

BEST = "best"
ONLY_TEXT = "only-semantic"
_BEST_TEXT = f"{BEST}-{ONLY_TEXT}"
_LENDERS = (ONLY_TEXT, _BEST_TEXT)
_TRAINED_TEXTS = "no-meta-trained"


@dataclass(frozen=True)
class Options:
    """What all cells of a study share; None leaves the choice to the workspace."""

    seeds: int = 1
    preset: str = TrainRequest.preset
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Put over the preset's in every cell that has a setting of this name."""
    tags: str | None = None
    semantics: str | None = None
    device: str = "auto"
    train: bool = True
    """Whether cells that are not finished are trained, or left out."""

    def __post_init__(self) -> None:
        everywhere = {name for b in BACKBONES for f in FRAMEWORKS for name in _known(b, f)}
        for name in self.settings:
            choose(name, dict.fromkeys(everywhere), what="setting")
        choose(self.preset, PRESETS, what="preset")
        chosen_device(self.device)


@dataclass(frozen=True)
class Study:
    """Trains and measures cells in one workspace."""

    workspace: Path
    options: Options
    say: Callable[[str], None]
    progress: Progress | None = None
    command: str | None = None
    name: str = ""
    """What the data are called, where they are not the paper's; the workspace's name without."""
    _tables: dict[str, pl.DataFrame] = field(default_factory=dict[str, pl.DataFrame], repr=False)

    @cached_property
    def place(self) -> Workspace:
        """The workspace."""
        return Workspace.opened(self.workspace)

    def runs(self, key: Key) -> list[str]:
        """The finished runs of a cell, one a seed, trained where they are missing; raises `TrainingDiverged`.

        Seeds beyond those asked for count too where they are finished.
        """
        if key == (PLAIN, "lightgcn"):
            key = ("lightgcn", "base")
        if key[0] == PLAIN:
            request = self._baseline(key[1])
            return [] if request is None else self._run(request)
        if key[1] == "no-meta":  # the paper reports the better of frozen and trained texts
            return self._better([(key[0], variant) for variant in (key[1], _TRAINED_TEXTS)])
        return self._seeds(key)

    def _better(self, keys: Sequence[Key]) -> list[str]:
        """The runs of the cell that did better on validation; raises only where all diverged."""
        found: list[list[str]] = []
        diverged: TrainingDiverged | None = None
        for key in keys:
            try:
                found.append(self._seeds(key))
            except TrainingDiverged as error:
                diverged = error
        if diverged is not None and not any(found):
            raise diverged
        return max(found, key=lambda runs: sum(sum(self.valid(run).values()) for run in runs) / max(1, len(runs)))

    def table(self, run: str) -> pl.DataFrame:
        """Test metrics of a run, user by user; measured once, and read once."""
        if run not in self._tables:
            self._tables[run] = per_user(self.workspace, run, metrics=SELECTION, command=self.command)
        return self._tables[run]

    def model(self, run: str) -> ScoreModel:
        """What a run is served as."""
        return ScoreModel.load(self.place.run(run) / "model")

    def config(self, run: str) -> Mapping[str, Any]:
        """The settings of a run."""
        return artifacts.read(self.place.run(run), RUN).config

    def phases(self, run: str) -> dict[str, dict[str, Any]]:
        """What each phase of a run did, the phase 1 that it started from first."""
        manifest = artifacts.read(self.place.run(run), RUN)
        return {**self._lent(manifest), **manifest.facts.get("phases", {})}

    def _lent(self, manifest: artifacts.Manifest) -> dict[str, dict[str, Any]]:
        """The phase 1 that a run borrowed, where the run that lent it is there."""
        backbone, seed, there = manifest.config.get("backbone"), manifest.config.get("seed"), self.place.sets("runs")
        for name in (f"{backbone}-{variant}-{seed}" for variant in _LENDERS if "phase1" in manifest.inputs):
            lender = artifacts.read(self.place.run(name), RUN) if name in there else None
            if lender is not None and lender.files.get("phase1.npz") == manifest.inputs["phase1"]:
                return {"phase 1": lender.facts["phases"]["phase 1"]}
        return {}

    def history(self, run: str) -> pl.DataFrame:
        """The last phase of a run that trained, epoch by epoch."""
        phase = list(that_trained(self.phases(run)))[-1]
        return pl.read_parquet(self.place.run(run) / f"history-{phase.replace(' ', '')}.parquet")

    def valid(self, run: str) -> dict[str, float]:
        """R@10, R@20, N@10 and N@20 on validation, of what the run ended with."""
        last = list(self.phases(run).values())[-1]["valid"]
        return {name: last[name] for name in SELECTION}

    def seconds(self, run: str) -> float:
        """Time until the best epoch of each phase, since what follows tells of patience only; every share is tried."""
        return sum(
            phase["elapsed_s"] * (1 if name == CLOSED_FORM else phase["best_epoch"] / phase["epochs"])
            for name, phase in self.phases(run).items()
        )

    def _seeds(self, key: Key) -> list[str]:
        found = [run for seed in range(self.options.seeds) for run in self._run(self._request(key, seed))]
        more = takewhile(self._finished, (self._request(key, seed) for seed in count(self.options.seeds)))
        return found + [str(request.run) for request in more]

    def _run(self, request: TrainRequest) -> list[str]:
        """The run of a request, trained if need be and allowed; none where it is not there."""
        if not self._finished(request):
            if not self.options.train:
                return []
            if (before := self._before(request)) is not None:
                self._run(before)
            done = train(self.workspace, request, progress=self.progress)
            if done.aside is not None:
                self.say(f"the earlier run {done.name!r} had other settings and is kept as {done.aside!r}")
            self.say(f"{done.name}: trained")
        return [str(request.run)]

    def _finished(self, request: TrainRequest) -> bool:
        """Whether the run is there, of these settings and inputs, and so is the phase 1 it would start from.

        A run that was more patient than asked counts.
        """
        if (before := self._before(request)) is not None and not self._finished(before):
            return False
        plan = planned(self.workspace, request)
        folder, config = self.workspace / "runs" / plan.name, dict(plan.recorded)
        if (there := artifacts.peek(folder)) is not None and "patience" in config:
            config["patience"] = max(config["patience"], there.config.get("patience", 0))
        return artifacts.is_current(folder, RUN, config=config, inputs=plan.inputs)

    def _before(self, request: TrainRequest) -> TrainRequest | None:
        """How the phase 1 is trained that a request borrows; None where it borrows none."""
        if request.phase1 is None:
            return None
        lender = str(request.phase1).removeprefix(f"run:{request.backbone}-").removesuffix(f"-{request.seed}")
        return self._request((str(request.backbone), lender), request.seed)

    def _request(self, key: Key, seed: int) -> TrainRequest:
        """How a cell is trained; what starts from phase 1 borrows that of the cell of `_LENDERS` of its preset."""
        (backbone, variant), o = key, self.options
        framework = variant if variant in FRAMEWORKS else "hyperllm"
        known = _known(backbone, framework)
        settings = {name: value for name, value in o.settings.items() if name in known}
        common: dict[str, Any] = {"preset": o.preset, "device": o.device, "seed": seed, "settings": settings}
        common |= {"backbone": backbone, "run": f"{backbone}-{variant}-{seed}", "framework": framework}
        if framework != "hyperllm":
            return TrainRequest(semantics=o.semantics if FRAMEWORKS[framework].uses_text else None, **common)
        lender = ONLY_TEXT
        if variant.partition("-")[0] == BEST:
            part = choose(variant, PARTS, what="part of the best model")
            common |= {"preset": BEST, "settings": {**part.settings, **settings}}
            variant, lender = part.variant, _BEST_TEXT
        if variant == _TRAINED_TEXTS:
            variant, settings["semantics_trainable"] = "no-meta", True
        variant = "full" if variant == "hyperllm" else variant
        config = HyperLLMConfig(variant=variant)  # type: ignore[arg-type]  # checked by its class
        common |= {"variant": variant, "tags": o.tags if config.uses_tags else None}
        common["semantics"] = o.semantics if config.uses_semantics else None
        if config.uses_meta and variant != ONLY_TEXT:
            common["phase1"] = Path(f"run:{backbone}-{lender}-{seed}")
        return TrainRequest(**common)

    def _baseline(self, name: str) -> TrainRequest | None:
        """A baseline with the settings that won on validation; they are searched once."""
        tags = self.options.tags if BASELINES[name].needs_tags else None
        settings = tuned_settings(self.place, name, tags=tags, search=self.options.train, say=self.say)
        return None if settings is None else TrainRequest(baseline=name, run=name, tags=tags, settings=settings)


def _known(backbone: str, framework: str) -> set[str]:
    """Names of the settings of a run of these two."""
    classes = (BACKBONES[backbone].config_class, FRAMEWORKS[framework].config_class, FitConfig)
    return {name for cls in classes for name in cls.__dataclass_fields__}


def each(study: Study, keys: Sequence[Key]) -> tuple[dict[Key, list[str]], dict[Key, str]]:
    """The runs of every cell, and why there are none where a cell cannot be made: the others are worth having."""
    runs: dict[Key, list[str]] = {}
    missing: dict[Key, str] = {}
    for key in keys:
        try:
            found = study.runs(key)
        except TrainingDiverged as error:
            missing[key] = f"diverged in epoch {error.epoch}"
        except (ConfigError, DataError) as error:  # such as no tags, or a package that is not there
            missing[key] = str(error).partition(";")[0].partition(". ")[0]
        else:
            if found:
                runs[key] = found
            continue
        study.say(f"{'-'.join(key)}: {missing[key]}")
    return runs, missing
