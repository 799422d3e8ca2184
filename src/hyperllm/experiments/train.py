"""The train stage: a workspace and a request to the artifact ``runs/NAME``.

Knows which inputs a run needs, how its settings are put together, and what a finished run holds: weights, history,
phase-1 vectors and the NumPy-only ``model/``. Test interactions are never read here.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from hyperllm import artifacts
from hyperllm.backbones import BACKBONES, Backbone
from hyperllm.baselines import BASELINES, Baseline
from hyperllm.config import build, document
from hyperllm.data.catalog import Catalog
from hyperllm.data.prepare import load_catalog
from hyperllm.data.semantics import KIND as SEMANTICS
from hyperllm.data.split import Split
from hyperllm.data.tags import TagGraph
from hyperllm.errors import ConfigError, choose
from hyperllm.experiments.presets import PRESETS
from hyperllm.experiments.workspace import NONE, RUN, Workspace, check_run_name
from hyperllm.frameworks import FRAMEWORKS, BaseConfig, HyperLLMConfig, Trained, train_framework, train_hyperllm
from hyperllm.frameworks.config import COMPAT, QUIRKS
from hyperllm.frameworks.crew import Alone, Crew
from hyperllm.frameworks.phase1 import Phase1Vectors
from hyperllm.frameworks.train import Progress
from hyperllm.serving.content import Content, Experts
from hyperllm.serving.model import ScoreModel
from hyperllm.training.loop import FitConfig
from hyperllm.training.report import CLOSED_FORM


@dataclass(frozen=True)
class TrainRequest:
    """What `hyperllm train` was asked for; None leaves the choice to the workspace or the preset.

    ``phase1`` is a file of vectors, or ``run:NAME`` for those of another run, which then need not be learned twice.
    """

    backbone: str | None = None
    framework: str | None = None
    variant: str | None = None
    baseline: str | None = None
    run: str | None = None
    tags: str | None = None
    semantics: str | None = None
    preset: str = "default"
    settings: Mapping[str, Any] = field(default_factory=dict)
    phase1: Path | None = None
    compat: bool = False
    device: str = "auto"
    seed: int = 0
    resume: bool = True

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ConfigError(f"the seed must not be negative; found {self.seed}")


@dataclass(frozen=True)
class TrainedRun:
    """Where the run stands, its validation metrics, and whether it was there already.

    ``aside`` is the new name of an earlier run that had this name and other settings.
    """

    name: str
    folder: Path
    facts: Mapping[str, Any]
    skipped: bool
    aside: str | None = None


@dataclass(frozen=True)
class Planned:
    """A run that is not begun: its name, its flat configuration, and the fingerprints of what it would be made from.

    ``recorded`` is the configuration as a finished run of this name would have it, were it made of the same settings.
    """

    name: str
    config: Mapping[str, Any]
    recorded: Mapping[str, Any]
    inputs: Mapping[str, str]


def train(
    workspace: Path, request: TrainRequest, *, progress: Progress | None = None, crew: Crew | None = None
) -> TrainedRun:
    """Train one run, or continue it, or find it done; with a ``crew``, each of its processes calls this."""
    crew = crew or Alone()
    place = Workspace.opened(workspace)
    plan = _baseline_plan(request) if request.baseline else _plan(place, request)
    folder = workspace / "runs" / plan.name
    inputs = plan.inputs(place)
    if crew.told(lambda: artifacts.is_current(folder, RUN, config=_as_recorded(folder, plan), inputs=inputs)):
        facts = artifacts.read(folder, RUN).facts
        return TrainedRun(plan.name, folder, facts, skipped=True)
    facts: dict[str, Any] = {}
    if not crew.leads:
        plan.execute(place, artifacts.partial(folder), None, crew)
        return TrainedRun(plan.name, folder, facts, skipped=False)
    if not request.resume:
        _forget(folder)
    with artifacts.writing(folder, RUN, config=plan.config, inputs=inputs, facts=facts, keep_partial=True) as work:
        _sweep(work)
        facts.update(plan.execute(place, work, progress, crew))
        aside = keep_aside(folder, _as_recorded(folder, plan))
    return TrainedRun(plan.name, folder, facts, skipped=False, aside=aside)


def planned(workspace: Path, request: TrainRequest) -> Planned:
    """What a request comes to, without training it."""
    place = Workspace.opened(workspace)
    plan = _baseline_plan(request) if request.baseline else _plan(place, request)
    recorded = _as_recorded(workspace / "runs" / plan.name, plan)
    return Planned(plan.name, plan.config, recorded, plan.inputs(place))


def _as_recorded(folder: Path, plan: _BaselinePlan | _Plan) -> dict[str, Any]:
    """A plan's settings, without those at their default that the run in ``folder`` was made too early to know of.

    A new setting's default is what was done before there was one.
    """
    there = artifacts.peek(folder)
    known = plan.config if there is None else there.config
    return {name: value for name, value in plan.config.items() if name in known or plan.defaults.get(name) != value}


def keep_aside(folder: Path, config: Mapping[str, Any]) -> str | None:
    """Rename a finished run of other settings to ``NAME.1``, ``NAME.2`` …; a run of the same settings is replaced."""
    earlier = artifacts.peek(folder)
    if earlier is None or artifacts.digest(earlier.config) == artifacts.digest(config):
        return None
    free = next(n for n in count(1) if not folder.with_name(f"{folder.name}.{n}").exists())
    folder.rename(folder.with_name(f"{folder.name}.{free}"))
    return f"{folder.name}.{free}"


def _forget(folder: Path) -> None:
    """Drop the unfinished work of a run."""
    if artifacts.partial(folder).exists():
        shutil.rmtree(artifacts.partial(folder))


def _sweep(work: Path) -> None:
    """Drop payload that a killed run, perhaps of other settings, had begun to write; its checkpoints stay."""
    for left in work.iterdir():
        if not left.name.startswith("."):
            shutil.rmtree(left) if left.is_dir() else left.unlink()


@dataclass(frozen=True)
class _BaselinePlan:
    name: str
    baseline: Baseline
    settings: Mapping[str, Any]
    tags: str | None
    semantics: str | None

    @property
    def config(self) -> dict[str, Any]:
        return {"baseline": self.baseline.name, **document(self.baseline.configure(self.settings))}

    @property
    def defaults(self) -> dict[str, Any]:
        return document(self.baseline.configure({}))

    def inputs(self, place: Workspace) -> dict[str, str]:
        found = {kind: place.fingerprint(kind, name) for kind, name in self._sets(place).items() if name is not None}
        return {"split": place.fingerprint("split"), **found}

    def execute(self, place: Workspace, work: Path, progress: Progress | None, crew: Crew) -> dict[str, Any]:
        del progress, crew
        split, sets = place.split(), self._sets(place)
        tags, semantics = sets.get("tags"), sets.get("semantics")
        model = self.baseline.fit(
            split,
            settings=self.settings,
            tags=place.tags(tags or NONE),
            semantics=place.semantics(semantics or NONE, split),
        )
        replace(model, catalog=_catalog(place, split), tags=place.tags(tags)).save(work / "model")
        return sets

    def _sets(self, place: Workspace) -> dict[str, str | None]:
        """The named sets that are read; None where one is needed and there is none."""
        found: dict[str, str | None] = {}
        if self.baseline.uses_tags(self.settings):
            found["tags"] = place.chosen("tags", self.tags)
        if self.baseline.needs_semantics:
            found["semantics"] = place.chosen("semantics", self.semantics)
        return found


def _baseline_plan(request: TrainRequest) -> _BaselinePlan:
    assert request.baseline is not None
    baseline = choose(request.baseline, BASELINES, what="baseline")
    _refuse(request, ("framework", "backbone", "variant", "phase1", "compat"), "--baseline")
    if not baseline.uses_tags(request.settings):
        weightless = " with tag_weight 0" if "tag_weight" in baseline.known else ""
        _refuse(request, ("tags",), f"--baseline {baseline.name}{weightless}")
    if not baseline.needs_semantics:
        _refuse(request, ("semantics",), f"--baseline {baseline.name}")
    if request.preset != TrainRequest.preset:
        raise ConfigError(f"--baseline {request.baseline} takes no --preset; drop one of them.")
    seeded = {"seed": request.seed} if "seed" in baseline.known else {}
    name = check_run_name(request.run or request.baseline)
    return _BaselinePlan(name, baseline, {**seeded, **request.settings}, request.tags, request.semantics)


def _refuse(request: TrainRequest, options: Sequence[str], beside: str) -> None:
    """Raise where an option was given that the run would ignore."""
    for option in options:
        if getattr(request, option) not in (None, False):
            raise ConfigError(f"--{option} has no use beside {beside}; drop one of them.")


@dataclass(frozen=True)
class _Plan:
    name: str
    backbone: Backbone
    backbone_name: str
    framework: str
    framework_config: BaseConfig
    fit_config: FitConfig
    tags: str | None
    semantics: str | None
    phase1: Path | None
    device: str
    seed: int

    @property
    def config(self) -> dict[str, Any]:
        return {
            "backbone": self.backbone_name,
            "framework": self.framework,
            "seed": self.seed,
            **document(self.backbone.config, self.framework_config, self.fit_config),
        }

    @property
    def defaults(self) -> dict[str, Any]:
        return document(type(self.backbone.config)(), type(self.framework_config)(), type(self.fit_config)())

    def inputs(self, place: Workspace) -> dict[str, str]:
        found = {"split": place.fingerprint("split")}
        for kind, name in (("tags", self.tags), ("semantics", self.semantics)):
            if name is not None:
                found[kind] = place.fingerprint(kind, name)
        if self.phase1 is not None:
            found["phase1"] = artifacts.file_digest(self.phase1)
        return found

    def execute(self, place: Workspace, work: Path, progress: Progress | None, crew: Crew) -> dict[str, Any]:
        """Train, and where the crew leads fill ``work``; the facts of the run."""
        split = place.split()
        tags = place.tags(self.tags or NONE)
        shown = tags if tags is not None else place.tags(None)
        trained = self._train(place, split, tags, work, progress, crew)
        if not crew.leads:
            return {}
        _write_run(work, trained, split)
        model = ScoreModel.of_points(
            split,
            users=trained.users,
            items=trained.items,
            geometry=trained.geometry,
            flat=trained.flat,
            linear=trained.linear,
        )
        content = self._content(place, split, trained.experts)
        replace(model, catalog=_catalog(place, split), tags=shown, content=content).save(work / "model")
        return {**_facts(trained), "tags": self.tags, "semantics": self.semantics, "peak_memory_mb": _peak_mb()}

    def _content(self, place: Workspace, split: Split, experts: Experts | None) -> Content | None:
        """What new items are placed by: the text vectors of the run; None without them."""
        semantics = place.semantics(self.semantics or NONE, split)
        if semantics is None or self.semantics is None:
            return None
        made = artifacts.read(place.folder / "semantics" / self.semantics, SEMANTICS)
        return Content(semantics.item_vectors, made.config, experts)

    def _train(
        self, place: Workspace, split: Split, tags: TagGraph | None, work: Path, progress: Progress | None, crew: Crew
    ) -> Trained:
        common: dict[str, Any] = {
            "backbone": self.backbone,
            "fit_config": self.fit_config,
            "seed": self.seed,
            "device": self.device,
            "folder": work,
            "progress": progress,
            "crew": crew,
        }
        semantics = None if self.semantics is None else place.semantics(self.semantics, split)
        if not isinstance(self.framework_config, HyperLLMConfig):
            common |= {"semantics": semantics, "config": self.framework_config}
            return train_framework(FRAMEWORKS[self.framework], split, **common)
        given = None
        if self.phase1 is not None:
            given = Phase1Vectors.load(self.phase1, users=split.users, items=split.items)
        return train_hyperllm(
            split, tags=tags, semantics=semantics, phase1=given, config=self.framework_config, **common
        )


def _catalog(place: Workspace, split: Split) -> Catalog:
    """What the items are, to be shown."""
    return load_catalog(place.folder).take(split.items)


@dataclass(frozen=True)
class Configured:
    """What a request says before any workspace is looked at."""

    backbone_name: str
    backbone: Backbone
    framework: str
    framework_config: BaseConfig
    fit_config: FitConfig


def configured(request: TrainRequest) -> Configured | None:
    """Read the names and settings of a request; None for a baseline's. Raises `ConfigError` on a wrong one."""
    if request.baseline is not None:
        _baseline_plan(request)
        return None
    published = request.compat and request.preset == TrainRequest.preset
    preset = choose("plain" if published else request.preset, PRESETS, what="preset")
    framework = request.framework or preset.framework
    backbone = request.backbone or preset.backbone
    backbone_class = choose(backbone, BACKBONES, what="backbone")
    config_class = choose(framework, FRAMEWORKS, what="framework").config_class
    if request.variant is not None and not issubclass(config_class, HyperLLMConfig):
        raise ConfigError(f"--variant {request.variant} belongs to the framework hyperllm, not to {framework!r}")
    classes = (backbone_class.config_class, config_class, FitConfig)
    settings = _settings(request, preset.chosen(backbone, framework), framework)
    backbone_config, framework_config, fit_config = build(classes, settings)
    if framework_config.compat and backbone_config.curvature != 1:
        raise ConfigError("compat repeats code that knows curvature 1 only; drop one of the two settings")
    return Configured(backbone, backbone_class(backbone_config), framework, framework_config, fit_config)


def _plan(place: Workspace, request: TrainRequest) -> _Plan:
    found = configured(request)
    assert found is not None
    framework, backbone, framework_config = found.framework, found.backbone_name, found.framework_config
    hyper = framework_config if isinstance(framework_config, HyperLLMConfig) else None
    uses_text = FRAMEWORKS[framework].uses_text
    if hyper is None:
        _refuse(request, ("phase1", "tags", *(() if uses_text else ("semantics",))), f"--framework {framework}")
    elif not hyper.uses_meta:
        _refuse(request, ("phase1",), f"--variant {hyper.variant}")
    if hyper is not None and not hyper.uses_tags and request.tags != NONE:
        _refuse(request, ("tags",), f"--variant {hyper.variant}")
    phase1 = None if request.phase1 is None else _phase1(place, request.phase1)
    if hyper is not None:
        uses_text = hyper.reads_text(phase1 is not None)
    return _Plan(
        name=check_run_name(request.run or _run_name(framework, backbone, hyper)),
        backbone=found.backbone,
        backbone_name=backbone,
        framework=framework,
        framework_config=framework_config,
        fit_config=found.fit_config,
        tags=place.chosen("tags", request.tags) if hyper is not None and hyper.uses_tags else None,
        semantics=place.chosen("semantics", request.semantics) if uses_text else None,
        phase1=phase1,
        device=chosen_device(request.device),
        seed=request.seed,
    )


def _phase1(place: Workspace, given: Path) -> Path:
    """The file that is meant: a path, or ``run:NAME`` for what phase 1 of that run gave."""
    kind, _, name = str(given).partition("run:")
    if kind:
        if not given.is_file():
            raise ConfigError(f"--phase1 {str(given)!r} is not a file")
        return given
    found = place.run(name) / "phase1.npz"
    if not found.is_file():
        raise ConfigError(f"--phase1 {str(given)!r}: the run {name!r} has no phase 1")
    return found


def _settings(request: TrainRequest, preset: dict[str, Any], framework: str) -> dict[str, Any]:
    """The preset's, then those of ``--compat``, ``--variant`` and ``--set``; the later wins."""
    settings = dict(preset)
    if request.compat:
        settings |= COMPAT.get(framework, QUIRKS)
    if request.variant is not None:
        settings["variant"] = request.variant
    return {**settings, **request.settings}


def _run_name(framework: str, backbone: str, config: HyperLLMConfig | None) -> str:
    """``hyperllm``, ``base``; other backbones and variants are added: ``hyperllm-hicf-structural``."""
    parts = [framework]
    if backbone != "hgcf":
        parts.append(backbone)
    if config is not None and config.variant != "full":
        parts.append(config.variant)
    return "-".join(parts)


def chosen_device(name: str) -> str:
    """``cpu`` or ``cuda``, for ``auto`` what there is; raises `ConfigError`."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda: this machine has no GPU that torch can use; use --device cpu")
    if name not in ("cpu", "cuda"):
        raise ConfigError(f"--device expects auto, cpu or cuda; found {name!r}")
    return name


def _write_run(work: Path, trained: Trained, split: Split) -> None:
    save_file({k: v.contiguous() for k, v in trained.weights.items()}, work / "weights.safetensors")
    for phase, report in trained.reports.items():
        report.write(work / f"history-{phase.replace(' ', '')}.parquet")
    if trained.phase1 is not None:
        trained.phase1.save(work / "phase1.npz", users=split.users, items=split.items)


def _peak_mb() -> int:
    """Most memory this process has held so far, and on a GPU the most that torch has; 0 where nobody can say."""
    if torch.cuda.is_available() and (held := torch.cuda.max_memory_allocated()):
        return held >> 20
    if sys.platform == "win32":
        return 0
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> (20 if sys.platform == "darwin" else 10)


def _facts(trained: Trained) -> dict[str, Any]:
    phases = {}
    for phase, report in trained.reports.items():
        best = report.best
        phases[phase] = {
            "epochs": len(report.epochs),
            "ended": report.ended,
            "elapsed_s": round(report.elapsed_s, 1),
            "best_epoch": None if best is None else best.number,
            "valid": {} if best is None else best.metrics,
        }
        if phase == CLOSED_FORM and best is not None:
            phases[phase] |= best.terms
    return {"phases": phases}
