"""Training as the paper orders it: phase 1 to its end, then phase 2; then what is fitted to the finished points.

Knows both frameworks and where checkpoints go. Does not know workspaces, tables or files of a run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hyperllm.backbones.base import Backbone
from hyperllm.backbones.hgcf import HGCF
from hyperllm.config import document
from hyperllm.data.semantics import Semantics
from hyperllm.data.split import Split
from hyperllm.data.tags import TagGraph
from hyperllm.errors import ConfigError
from hyperllm.frameworks.base import Base, Framework
from hyperllm.frameworks.config import BaseConfig, HyperLLMConfig
from hyperllm.frameworks.crew import Alone, Crew
from hyperllm.frameworks.fusion import fuse
from hyperllm.frameworks.hyperllm import Integration, SemanticExtraction
from hyperllm.frameworks.linear import LinearExpert
from hyperllm.frameworks.phase1 import Phase1Vectors
from hyperllm.frameworks.world import World
from hyperllm.geometry.manifold import Euclidean
from hyperllm.serving.content import Experts, LinearInputs
from hyperllm.serving.placement import Placement
from hyperllm.training.allocator import keep_freed_memory
from hyperllm.training.loop import FitConfig
from hyperllm.training.report import CLOSED_FORM, Epoch, FitReport
from hyperllm.training.streams import Streams

Matrix = npt.NDArray[np.float32]


class Progress(Protocol):
    """Hears of the work: ``phase`` is ``phase 1``, ``phase 2``, ``phase 3``, ``base``, or ``training`` of a rival."""

    def step(self, phase: str, epoch: int, step: int, steps: int) -> None:
        """A step of an epoch is done."""
        ...

    def epoch(self, phase: str, epoch: Epoch, report: FitReport) -> None:
        """An epoch is done."""
        ...


@dataclass(frozen=True)
class Trained:
    """Final vectors of users and items, what each phase did, and the weights to keep.

    With ``geometry`` ``lorentz`` vectors are points of the unit hyperboloid, (u, d+1) and (i, d+1); with ``inner``,
    (u, d) and (i, d), they rank by inner product. Behind them stand ``flat`` factors of a linear expert, whose product
    is added to the score, and ``linear`` says how a history becomes them. ``phase1`` are the vectors phase 2 started
    from and ``experts`` what made them of texts, None without them.
    """

    users: Matrix
    items: Matrix
    reports: dict[str, FitReport]
    weights: dict[str, Tensor] = field(repr=False)
    phase1: Phase1Vectors | None = None
    geometry: Literal["lorentz", "inner"] = "lorentz"
    flat: int = 0
    experts: Experts | None = None
    linear: LinearInputs | None = None


def train_base(
    split: Split,
    *,
    backbone: Backbone | None = None,
    config: BaseConfig | None = None,
    fit_config: FitConfig | None = None,
    seed: int = 0,
    device: str = "cpu",
    folder: Path | None = None,
    progress: Progress | None = None,
    crew: Crew | None = None,
) -> Trained:
    """Train a backbone alone."""
    common: dict[str, Any] = {"backbone": backbone, "config": config, "fit_config": fit_config, "seed": seed}
    return train_framework(Base, split, **common, device=device, folder=folder, progress=progress, crew=crew)


def train_framework(
    framework: type[Framework],
    split: Split,
    *,
    semantics: Semantics | None = None,
    backbone: Backbone | None = None,
    config: BaseConfig | None = None,
    fit_config: FitConfig | None = None,
    seed: int = 0,
    device: str = "cpu",
    folder: Path | None = None,
    progress: Progress | None = None,
    crew: Crew | None = None,
) -> Trained:
    """Train a framework of one phase, such as a rival; ``config`` is of its own class, and its defaults without."""
    config = config or framework.config_class()
    run = _Run(backbone or HGCF(), config, fit_config or FitConfig(), seed, folder, progress, crew or Alone())
    texts = semantics if framework.uses_text else None
    return run.one(framework, World.of(split, semantics=texts, device=device, laid=run.crew.graph))


def train_hyperllm(
    split: Split,
    *,
    tags: TagGraph | None = None,
    semantics: Semantics | None = None,
    phase1: Phase1Vectors | None = None,
    backbone: Backbone | None = None,
    config: HyperLLMConfig | None = None,
    fit_config: FitConfig | None = None,
    seed: int = 0,
    device: str = "cpu",
    folder: Path | None = None,
    progress: Progress | None = None,
    crew: Crew | None = None,
) -> Trained:
    """Train HyperLLM, all variants.

    ``phase1`` replaces phase 1 by given vectors. With ``folder`` both phases checkpoint there and a repeated call
    goes on where the last one was ended. What is trained is whole where the ``crew`` leads, and elsewhere empty.
    """
    config = config or HyperLLMConfig()
    run = _Run(backbone or HGCF(), config, fit_config or FitConfig(), seed, folder, progress, crew or Alone())
    needs_text = config.reads_text(phase1 is not None)
    used, texts = tags if config.uses_tags else None, semantics if needs_text else None
    world = World.of(split, tags=used, semantics=texts, device=device, laid=run.crew.graph)
    return run.hyperllm(world, config, phase1)


@dataclass(frozen=True)
class _Run:
    backbone: Backbone
    config: BaseConfig
    fit_config: FitConfig
    seed: int
    folder: Path | None
    progress: Progress | None
    crew: Crew

    def __post_init__(self) -> None:
        keep_freed_memory()  # before the first tensor

    def one(self, kind: type[Framework], world: World) -> Trained:
        with self.crew.together():
            framework = kind(world, self.backbone, self.config, seed=self.seed).to(world.device)
            phase = "base" if kind is Base else "training"
            report = self._fit(phase, framework, self.fit_config, {} if kind is Base else {"framework": kind.__name__})
            return self._trained(framework, {phase: report})

    def hyperllm(self, world: World, config: HyperLLMConfig, phase1: Phase1Vectors | None) -> Trained:
        """Phases 1 and 2, and what the settings add to them."""
        with self.crew.together():
            trained = self._phases(world, config, phase1)
        if not self.crew.leads:
            return trained
        place = Placement.none(world.items) if config.compat else world.placement()
        if len(place.rows):
            placed = place.points if trained.geometry == "lorentz" else place.between
            trained = replace(trained, items=placed(trained.items))
        return self._with_linear(world, config, trained, place) if config.linear_expert else trained

    def _with_linear(self, world: World, config: HyperLLMConfig, trained: Trained, place: Placement) -> Trained:
        began = time.monotonic()
        expert = LinearExpert.fit(world, config, rng=Streams(self.seed).numpy("linear"))
        expert = replace(expert, items=place.between(expert.items))
        curved, took = trained.geometry == "lorentz", time.monotonic() - began
        vectors = trained.users, trained.items
        fused = fuse(world, *vectors, expert, curved=curved, share=config.linear_share, spent_s=took)
        if self.progress is not None:
            for epoch in fused.report.epochs:
                self.progress.epoch(CLOSED_FORM, epoch, fused.report)
        return replace(
            trained,
            users=fused.users,
            items=fused.items,
            reports={**trained.reports, CLOSED_FORM: fused.report},
            flat=expert.items.shape[1] if curved else 0,
            linear=fused.inputs if curved else None,
        )

    def _phases(self, world: World, config: HyperLLMConfig, phase1: Phase1Vectors | None) -> Trained:
        reports: dict[str, FitReport] = {}
        experts: Experts | None = None
        kept, origin = phase1, None
        if phase1 is not None:
            phase1, origin = phase1.own(), phase1.digest()
        elif config.uses_meta:
            backbone = self.backbone.reconfigured(time_coordinate=config.compat)
            extraction = SemanticExtraction(world, backbone, config, seed=self.seed).to(world.device)
            limits = replace(self.fit_config, epochs=config.meta_epochs, patience=config.meta_patience)
            reports["phase 1"] = self._fit("phase 1", extraction, limits, {})
            phase1 = phase1_vectors(extraction)
            kept, origin = self._whole(phase1), "learned"  # what it is follows from the settings
            weights = self.crew.weights(extraction)
            experts = extraction.served_experts(weights) if self.crew.leads else None
            if config.variant == "only-semantic":
                return replace(self._trained(extraction, reports, kept), experts=experts)
        if config.variant == "only-semantic":
            if phase1 is None or kept is None:
                raise ConfigError("only-semantic needs text vectors or a phase-1 file")
            return self._as_given(world, phase1, kept)
        start = None
        if phase1 is not None and config.uses_meta:
            start = phase1.start(
                compat=config.compat, user_radius=config.user_radius, item_radius=config.item_radius
            ).to(world.device)
        integration = Integration(world, self.backbone, config, start=start, seed=self.seed).to(world.device)
        identity = {"phase1": None if start is None else origin}
        reports["phase 2"] = self._fit("phase 2", integration, self.fit_config, identity)
        trained = self._trained(integration, reports, kept if start is not None else None)
        return replace(trained, experts=experts)

    def _as_given(self, world: World, phase1: Phase1Vectors, kept: Phase1Vectors) -> Trained:
        """Phase-1 vectors propagated and ranked as they are."""
        with_time = self.config.compat and phase1.time_coordinate
        both = torch.from_numpy(np.concatenate([phase1.users, phase1.items]))
        x = both if with_time else phase1.start()
        with torch.no_grad():
            backbone = self.backbone.reconfigured(time_coordinate=with_time)
            backbone.start(Streams(self.seed).torch("backbone"))
            points = backbone.to(world.device)(x.to(world.device), world.graph).points
        vectors, geometry = served(backbone, self.crew.whole(points, lead=backbone.manifold.lead))
        weights = {f"backbone.{name}": value.cpu() for name, value in backbone.state_dict().items()}
        return Trained(vectors[: world.users], vectors[world.users :], {}, weights, kept, geometry)

    def _whole(self, vectors: Phase1Vectors) -> Phase1Vectors:
        """With the columns of all processes."""
        parts = (self.crew.whole(torch.from_numpy(part), lead=0).numpy() for part in (vectors.users, vectors.items))
        return Phase1Vectors(*parts, time_coordinate=vectors.time_coordinate)

    def _trained(
        self, framework: Framework, reports: dict[str, FitReport], phase1: Phase1Vectors | None = None
    ) -> Trained:
        framework.eval()
        backbone, users = framework.backbone, framework.world.users
        points = self.crew.whole(framework.encode().points, lead=backbone.manifold.lead)
        vectors, geometry = served(backbone, points)
        weights = self.crew.weights(framework)
        return Trained(vectors[:users], vectors[users:], reports, weights, phase1, geometry)

    def _fit(self, phase: str, framework: Framework, limits: FitConfig, extra: Mapping[str, Any]) -> FitReport:
        identity = {
            **document(self.config, self.backbone.config),
            "seed": self.seed,
            "phase": phase,
            "backbone": type(self.backbone).__name__,
            "data": framework.world.fingerprint,
            **extra,
        }
        on_step: Callable[[int, int], None] | None = None
        on_epoch: Sequence[Callable[[Epoch, FitReport], None]] = ()
        if (progress := self.progress) is not None:
            on_step = lambda epoch, step: progress.step(phase, epoch, step, framework.steps)  # noqa: E731
            on_epoch = [lambda epoch, report: progress.epoch(phase, epoch, report)]
        folder = None if self.folder is None else self.folder / f".checkpoint-{phase.replace(' ', '')}"
        return self.crew.fit(framework, limits, folder=folder, identity=identity, on_epoch=on_epoch, on_step=on_step)


def phase1_vectors(extraction: SemanticExtraction) -> Phase1Vectors:
    """The experts' outputs x_u, x_i (Eq. 8), of their columns those that are here."""
    with torch.no_grad():
        x = extraction.features().cpu().numpy()
    users = extraction.world.users
    return Phase1Vectors(x[:users], x[users:], time_coordinate=extraction.config.compat)


def served(backbone: Backbone, points: Tensor) -> tuple[Matrix, Literal["lorentz", "inner"]]:
    """Points as `Trained` holds them: the hyperboloid of curvature −c is √c times smaller than the unit one."""
    manifold = backbone.manifold
    if isinstance(manifold, Euclidean):
        return points.cpu().numpy(), "inner"
    return (manifold.c**0.5 * points).cpu().numpy(), "lorentz"
