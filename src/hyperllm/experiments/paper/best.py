"""The best model beside plain ones, without a part at a time, and by how much users clicked.

Knows the rows of three tables that the paper does not have. Parts are compared on validation, so that trying them costs
no look at test. Does not train or typeset.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from hyperllm import artifacts
from hyperllm.errors import DataError
from hyperllm.evaluation.groups import grouped
from hyperllm.experiments.paper import facts
from hyperllm.experiments.paper.cells import BEST, Key, Study, each
from hyperllm.experiments.paper.measuring import Asked, made_of, numbers, paired, significance, strongest_plain
from hyperllm.experiments.paper.sheet import BASE, OWN, Measured, Sheet, assemble
from hyperllm.experiments.paper.tables import PLAIN, TABLE3, TABLE4, TIME
from hyperllm.experiments.paper.titles import title
from hyperllm.experiments.presets import PARTS
from hyperllm.experiments.workspace import NONE, RUN
from hyperllm.frameworks.base import CUTOFFS, held_out_metrics
from hyperllm.frameworks.config import HyperLLMConfig
from hyperllm.frameworks.linear import LinearExpert
from hyperllm.frameworks.world import World
from hyperllm.geometry import ranking
from hyperllm.training.report import SELECTION
from hyperllm.training.streams import Streams

BEST_BACKBONES = ("hgcf",)
"""Where the best model is shown, unless other backbones than the paper's five are asked for."""
LINEAR = "linear"
GROUPS = 5
AT_20 = tuple(column for column in TABLE3 if column.name.endswith("@20"))
_OF_BEST = f"{title(BEST)} has the settings of preset {BEST}."
_PHASE_3 = "Phase 3 counts whole: the linear expert, and every share of it that was tried."
_MODELS = (BASE, OWN, BEST)


def best_sheet(study: Study, asked: Asked) -> Sheet:
    """Base, HyperLLM and the best model on test, and the plain rows; raises `DataError` where it is not trained."""
    backbones, plain = _backbones(asked), [(PLAIN, name) for name in asked.plain]
    keys = [*((b, name) for b in backbones for name in _MODELS), *plain]
    runs, missing = _with_best(study, keys)
    strongest = strongest_plain(study, runs)
    against = [
        f"{title(BEST)} on {title(b)} minus {paired(study, runs, (b, BEST), other)}."
        for b in backbones
        for other in ((b, OWN), strongest)
        if (b, BEST) in runs and other in runs
    ]
    return assemble(
        "best",
        "The best model beside every plain one",
        (*TABLE3, TABLE4[-1]),
        keys,
        measured={key: numbers(study, found) for key, found in runs.items()},
        published={},
        significance=significance(study, runs, backbones),
        missing=missing,
        notes=[TIME, _PHASE_3, *made_of(study), _OF_BEST, *against],
        own=BEST,
    )


def parts_sheet(study: Study, asked: Asked) -> Sheet:
    """Validation of the best model without a part at a time; raises `DataError` where it is not trained."""
    backbones = _backbones(asked)
    keys = [(b, name) for b in backbones for name in (*PARTS, OWN)]
    runs, missing = _with_best(study, keys)
    found = {key: [study.valid(run) for run in own] for key, own in runs.items()}
    found |= {(b, LINEAR): [_linear_alone(study, runs[b, BEST][0])] for b in backbones if (b, BEST) in runs}
    return assemble(
        "parts",
        "What each part of the best model adds, on validation",
        TABLE3,
        [(b, name) for b in backbones for name in (*PARTS, OWN, LINEAR)],
        measured={key: _means(seeds) for key, seeds in found.items()},
        published={},
        missing=missing,
        notes=[
            "Nothing here looks at test. Epochs, and the share of the linear expert, were chosen on this very part.",
            *made_of(study, BEST),
            f"{title(OWN)} has those of preset {study.options.preset}. {title(LINEAR)} is that of the first seed.",
        ],
        reference=BEST,
        own=BEST,
    )


def groups_sheet(study: Study, asked: Asked) -> Sheet:
    """Base, HyperLLM, the strongest plain row and the best model on test, in five equal groups of users by clicks.

    Raises `DataError` where the best model is not trained.
    """
    backbones, plain = _backbones(asked), [(PLAIN, name) for name in asked.plain]
    runs, missing = _with_best(study, [*((b, name) for b in backbones for name in _MODELS), *plain])
    strongest = strongest_plain(study, runs)
    sheets: list[Sheet] = []
    for b in backbones:
        keys = [(b, BASE), (b, OWN), *([] if strongest is None else [strongest]), (b, BEST)]
        measured = {key: _by_group(study, runs[key]) for key in keys if key in runs}
        for group in dict.fromkeys(label for groups in measured.values() for label in groups):
            named = f"{title(b)}, {group}" if len(backbones) > 1 else group
            sheets.append(
                assemble(
                    "groups",
                    "The best model by how much users clicked",
                    AT_20,
                    [(named, key[1]) for key in keys],
                    measured={(named, key[1]): groups[group] for key, groups in measured.items()},
                    published={},
                    missing={(named, key[1]): missing[key] for key in keys if key in missing},
                    notes=[
                        "Five equal groups of users by training clicks, sparsest first. Of the plain rows the one with "
                        "the highest Recall@20 of all users.",
                        *made_of(study),
                        _OF_BEST,
                    ],
                    own=BEST,
                )
            )
    rows = tuple(row for sheet in sheets for row in sheet.rows)  # groups are of different users: no best of all rows
    return replace(sheets[0], rows=rows, heads=("Users", "Model"))


def _backbones(asked: Asked) -> Sequence[str]:
    return BEST_BACKBONES if tuple(asked.backbones) == facts.BACKBONES else asked.backbones


def _with_best(study: Study, keys: Sequence[Key]) -> tuple[dict[Key, list[str]], dict[Key, str]]:
    """As `each`; raises `DataError` where no run of the best model is among them."""
    runs, missing = each(study, keys)
    best = [key for key in keys if key[1] == BEST]
    if not any(key in runs for key in best):
        told = ", ".join(f"{title(key[0])}: {missing.get(key, 'not trained yet')}" for key in best)
        raise DataError(f"this table shows the best model, and there is none ({told}); train it first")
    return runs, missing


def _means(seeds: Sequence[Mapping[str, float]]) -> dict[str, Measured]:
    return {name: Measured.of([metrics[name] for metrics in seeds]) for name in SELECTION}


def _linear_alone(study: Study, run: str) -> dict[str, float]:
    """Validation metrics of the linear expert of a run, solved again from its settings, tags and texts."""
    made, split = artifacts.read(study.place.run(run), RUN), study.place.split()
    settings: dict[str, Any] = {k: v for k, v in made.config.items() if k in HyperLLMConfig.__dataclass_fields__}
    tags = study.place.tags(made.facts["tags"] or NONE)
    world = World.of(split, tags=tags, semantics=study.place.semantics(made.facts["semantics"] or NONE, split))
    rng = Streams(made.config["seed"]).numpy("linear")
    expert = LinearExpert.fit(world, HyperLLMConfig(**settings), rng=rng)
    users, items = torch.from_numpy(expert.users), torch.from_numpy(world.placement().between(expert.items))
    top = ranking.topk(users, items, min(max(CUTOFFS), world.items), seen=world.seen())
    return held_out_metrics(top.numpy(), world)


def _by_group(study: Study, runs: Sequence[str]) -> dict[str, dict[str, Measured]]:
    """Group of users -> metrics over seeds."""
    split, names = study.place.split(), [column.name for column in AT_20]
    seeds = [grouped(study.table(run).select("user_id", *names), split, groups=GROUPS).to_dicts() for run in runs]
    return {
        _label(of_group[0]): {name: Measured.of([float(group[name]) for group in of_group]) for name in names}
        for of_group in zip(*seeds, strict=True)
    }


def _label(group: Mapping[str, Any]) -> str:
    """``G2: 4–5 clicks (2,110 users)``"""
    clicks = "–".join(dict.fromkeys(str(group[end]) for end in ("fewest", "most")))
    return f"G{group['group']}: {clicks} clicks ({group['users']:,} users)"
