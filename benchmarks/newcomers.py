"""New items and new users of a finished run, by the protocol: `make bench WHAT=newcomers ARGS="items WORKSPACE RUN"`.

``items``: of a workspace made with --cold-items, the cold items leave the model and are put in again from their
catalogue rows, by each method, beside content kNN (runs whose names begin with content). ``users``: of one made with
--new-users, users are folded in from what is given of them, beside the preset `best` trained with it in a second
workspace, WORKSPACE-told. Every look at a test part is recorded in its workspace.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
from worlds import table

from hyperllm.data.prepare import load_catalog, load_split, prepare
from hyperllm.data.sources.raw import RawData
from hyperllm.data.split import Split
from hyperllm.evaluation.evaluate import Candidates, evaluate
from hyperllm.evaluation.ledger import record
from hyperllm.experiments.train import TrainRequest, train
from hyperllm.extraction.config import ExtractConfig
from hyperllm.extraction.encode import embed
from hyperllm.extraction.extract import extract
from hyperllm.ids import Vocabulary
from hyperllm.serving.folding import folded
from hyperllm.serving.model import ScoreModel
from hyperllm.serving.newcomers import Method, encoder_for, place

COLUMNS = ("recall@10", "recall@20", "ndcg@10", "ndcg@20")


def measured(
    workspace: Path, run: str, model: ScoreModel, split: Split, candidates: Candidates = "all"
) -> tuple[float, ...]:
    """The four figures on test; the look is recorded."""
    result = evaluate(model, split, candidates=candidates)
    record(workspace, result, run=run, command=" ".join(["benchmarks/newcomers.py", *sys.argv[1:]]))
    return tuple(result.metrics[name] for name in COLUMNS)


def without(model: ScoreModel, gone: np.ndarray) -> ScoreModel:
    """The model as if it had never heard of some items."""
    kept = np.setdiff1d(np.arange(len(model.items)), gone)
    items = Vocabulary(tuple(model.items.take(kept)))
    tags, content, linear = model.tags, model.content, model.linear
    if tags is not None:
        row = np.full(len(model.items), -1)
        row[kept] = np.arange(len(kept))
        pairs = np.stack([tags.tag_items[:, 0], row[tags.tag_items[:, 1]]], axis=1)
        tags = replace(tags, items=items, tag_items=pairs[pairs[:, 1] >= 0])
    return replace(
        model,
        items=items,
        item_vectors=np.asarray(model.item_vectors)[kept],
        seen=model.seen[:, kept],
        catalog=model.catalog.take(items),
        tags=tags,
        content=None if content is None else replace(content, vectors=content.vectors[kept]),
        linear=None if linear is None else replace(linear, weights=linear.weights[kept]),
    )


def in_order(model: ScoreModel, items: Vocabulary) -> ScoreModel:
    """The model with its items in the order of a split."""
    rows = model.items.rows(items.ids)
    return replace(
        model,
        items=items,
        item_vectors=np.asarray(model.item_vectors)[rows],
        seen=model.seen[:, rows].sorted_indices(),
        catalog=model.catalog.take(items),
        tags=None,
        content=None,
        linear=None,
    )


def items(workspace: Path, run: str) -> None:
    split, model = load_split(workspace), ScoreModel.load(workspace / "runs" / run / "model")
    cold = np.flatnonzero(model.clicks == 0)
    bare = without(model, cold)
    new = load_catalog(workspace).take(Vocabulary(tuple(model.items.take(cold))))
    found = {f"{run}, placed in training": model}
    vectors = None
    for method in get_args(Method):
        placed = place(bare, new, encode=encoder_for(model)[0], vectors=vectors, method=method)
        vectors = placed.vectors
        found[f"{run}, put in by {method}"] = in_order(placed.model, split.items)
    found["put in by tags alone"] = in_order(place(bare, new).model, split.items)
    for baseline in sorted((workspace / "runs").glob("content*")):
        found[baseline.name] = ScoreModel.load(baseline / "model")
    for candidates in get_args(Candidates):
        rows = [(name, *measured(workspace, name, one, split, candidates)) for name, one in found.items()]
        shown(f"{len(cold):,} cold items, {candidates} ranked", rows)


def users(workspace: Path, run: str) -> None:
    split, model = load_split(workspace), ScoreModel.load(workspace / "runs" / run / "model")
    told = split.told()
    rows = [("folded in", *measured(workspace, run, folded(model, split.given), told))]
    beside = workspace.with_name(f"{workspace.name}-told")
    trained = _trained_with(workspace, beside, run, told)
    rows.append(("trained with it", *measured(beside, run, trained, told)))
    shown(f"{len(np.unique(split.given.user)):,} users that training did not know", rows)


def _trained_with(workspace: Path, beside: Path, run: str, told: Split) -> ScoreModel:
    """The preset `best` on the same shop, in which the new users are ordinary ones; tags are those of `keywords`."""
    made_from = {"train": hashlib.sha256(np.stack([told.train.user, told.train.item]).tobytes()).hexdigest()}
    prepare(beside, RawData(told, load_catalog(workspace), None, inputs=made_from))
    extract(beside, ExtractConfig())
    (beside / "semantics").mkdir(exist_ok=True)
    shutil.copy(workspace / "semantics" / "vectors.sqlite", beside / "semantics" / "vectors.sqlite")
    embed(beside, tags="keywords")
    train(beside, TrainRequest(preset="best", tags="keywords", run=run, settings={"patience": 20}))
    return ScoreModel.load(beside / "runs" / run / "model")


def shown(title: str, rows: list[tuple[object, ...]]) -> None:
    print(f"\n{title}")
    table(("", *COLUMNS), [[str(name), *(f"{value:.4f}" for value in values)] for name, *values in rows])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("items", "users"))
    parser.add_argument("workspace", type=Path)
    parser.add_argument("run")
    asked = parser.parse_args()
    (items if asked.what == "items" else users)(asked.workspace, asked.run)


if __name__ == "__main__":
    main()
