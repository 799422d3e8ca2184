"""Measure a ranker on one part of a split.

Knows the protocol: full ranking over all items, or over the cold ones alone, training pairs hidden (validation pairs
too, on request), the mean over users who have at least one of these items in the part; the others are counted. Does not
know any model: it takes a function ``topk(user_rows, k, mask=…)`` or an object with such a method.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol, cast, get_args

import numpy as np
import polars as pl
from scipy import sparse

from hyperllm import artifacts
from hyperllm.data.interactions import Pairs
from hyperllm.data.split import Split
from hyperllm.data.tags import TagGraph
from hyperllm.errors import ConfigError, Corrupt, DataError, MisalignedArrays, choose, did_you_mean
from hyperllm.evaluation.beyond import beyond_accuracy
from hyperllm.evaluation.metrics import METRICS, Hits
from hyperllm.evaluation.rank import Ranker, TopK, check_k
from hyperllm.ids import Rows

KIND = "evaluation"
Part = Literal["valid", "test"]
Mask = Literal["train", "train+valid"]
Candidates = Literal["all", "cold"]
_SCORES_AT_ONCE = 2**24


class Model(Protocol):
    """Anything with a ``topk`` method; `hyperllm.serving.model.ScoreModel` is one."""

    @property
    def topk(self) -> Ranker:
        """The ranking function."""
        ...


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The result. ``metrics`` maps ``recall@20`` and the like to the mean over ``users`` users.

    ``beyond`` maps ``coverage@20`` and the like to what `hyperllm.evaluation.beyond` defines; it is empty where it was
    stored before there was any. ``per_user`` has the column user_id and one column a metric, one row for each counted
    user. ``candidates`` says which items were ranked; ``cold`` ones have no training interaction.
    """

    part: Part
    mask: Mask
    users: int
    users_skipped: int
    metrics: dict[str, float]
    beyond: dict[str, float]
    per_user: pl.DataFrame
    candidates: Candidates = "all"

    def document(self, run: str) -> dict[str, Any]:
        """The JSON document of ``evaluate --json``."""
        return {
            "run": run,
            "part": self.part,
            "mask": self.mask,
            **self._restricted,
            "users": self.users,
            "users_skipped": self.users_skipped,
            "metrics": dict(self.metrics),
            "beyond": dict(self.beyond),
        }

    @property
    def _restricted(self) -> dict[str, Any]:
        """What is told of ``candidates``: nothing where all items were ranked."""
        return {} if self.candidates == "all" else {"candidates": self.candidates}

    def save(self, folder: Path, *, run: str, inputs: Mapping[str, str] | None = None) -> None:
        """Write the artifact ``folder``: metrics.json and per_user.parquet; ``inputs`` say what was measured."""
        config = {"run": run, "part": self.part, "mask": self.mask, **self._restricted}
        with artifacts.writing(folder, KIND, config=config, inputs=inputs) as work:
            artifacts.write_json(work / "metrics.json", self.document(run))
            self.per_user.write_parquet(work / "per_user.parquet")

    @classmethod
    def load(cls, folder: Path) -> Evaluation:
        """Read what `save` wrote."""
        artifacts.read(folder, KIND)
        try:
            told = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
            fields = {"beyond": told.get("beyond", {}), "candidates": told.get("candidates", "all")}
            fields |= {name: told[name] for name in cls.__dataclass_fields__ if name not in (*fields, "per_user")}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Corrupt(
                f"{str(folder / 'metrics.json')!r} cannot be read ({error!r}). Run `evaluate` again."
            ) from None
        return cls(**fields, per_user=pl.read_parquet(folder / "per_user.parquet"))


def evaluate(
    model: Ranker | Model,
    split: Split,
    *,
    part: Part = "test",
    k: Sequence[int] = (10, 20),
    mask: Mask = "train",
    candidates: Candidates = "all",
    metrics: Sequence[str] = tuple(METRICS),
) -> Evaluation:
    """Rank all items for every user of ``part`` and average each metric at each k.

    ``model`` is an object with ``topk(user_rows, k, *, mask)`` or such a function; it gets the mask as a CSR matrix
    (all users, all items). While ``part`` is ``valid`` only training pairs can be hidden. With ``candidates`` ``cold``
    only items without a training interaction are ranked and count as held out; ``topk`` then takes their rows as
    ``candidates``, as that of `ScoreModel` does, and ``beyond`` still speaks of the whole catalogue. Raises
    `MisalignedArrays` when the model belongs to other users or items, `DataError` when it was trained on another
    training part, and `ConfigError` for an unknown part, mask, candidates or metric, or where no item is cold.
    """
    depths = _check(part, k, mask, candidates, metrics)
    ranker = cast(Ranker, getattr(model, "topk", model))
    train = split.train.matrix(len(split.users), len(split.items))
    _check_model(model, split, train)
    tags = _tags(model, split)
    held_out = split.part(part)
    if candidates == "cold":
        cold = _cold(split)
        held_out = held_out.take(np.isin(held_out.item, cold))
        ranker = cast(Ranker, partial(cast(Any, ranker), candidates=cold))
    relevant = held_out.matrix(len(split.users), len(split.items))
    rows = np.flatnonzero(np.diff(relevant.indptr)).astype(np.int64)
    if not len(rows):
        what = "interaction" if candidates == "all" else "interaction with a cold item"
        raise DataError(f"the {part} part of this split holds no {what}, so there is nothing to measure.")
    hidden = train if mask == "train" else _train_and_valid(split)
    found = rank_all(ranker, rows, depths[-1], mask=hidden)
    values = _per_user(found, relevant[rows], depths, metrics)
    return Evaluation(
        part=part,
        mask=mask,
        users=len(rows),
        users_skipped=len(split.users) - len(rows),
        metrics={name: float(column.mean()) for name, column in values.items()},
        beyond=beyond_accuracy(found.items, train, user_rows=rows, k=depths, tags=tags),
        per_user=pl.DataFrame({"user_id": split.users.take(rows), **values}),
        candidates=candidates,
    )


def _check(part: str, k: Sequence[int], mask: str, candidates: str, metrics: Sequence[str]) -> list[int]:
    """The distinct depths, ascending; raises `ConfigError` where an option has no such value."""
    for what, value, kind in (("part", part, Part), ("mask", mask, Mask), ("candidates", candidates, Candidates)):
        if value not in get_args(kind):
            raise ConfigError(
                f"unknown {what} {value!r}; choose one of {', '.join(get_args(kind))}."
                + did_you_mean(value, get_args(kind))
            )
    if part == "valid" and mask != "train":
        raise ConfigError(
            "the part 'valid' is measured with mask 'train'; masking 'train+valid' would hide its answers."
        )
    for name in metrics:
        choose(name, METRICS, what="metric")
    if not len(k) or not len(metrics):
        raise ConfigError("k and metrics need at least one value each, such as k=(10, 20), metrics=('recall', 'ndcg').")
    return sorted({check_k(depth) for depth in k})


def _check_model(model: object, split: Split, train: sparse.csr_matrix) -> None:
    """Refuse a model that says of itself that it belongs to another split."""
    for name, ours in (("users", split.users), ("items", split.items)):
        theirs = getattr(model, name, None)
        if theirs is not None and theirs != ours:
            raise MisalignedArrays(
                f"the model knows {len(theirs):,} {name}, this split has {len(ours):,}, and they are not the same: "
                "the model was trained on another split. Train it on this one."
            )
    seen = getattr(model, "seen", None)
    if seen is not None and not _same_pairs(seen, train):
        raise DataError(
            f"the model was trained on {seen.nnz:,} interactions which are not the {train.nnz:,} of this split's "
            "training part, so its figures here would leak or mislead. Train it on this split."
        )


def _tags(model: object, split: Split) -> TagGraph | None:
    """The tags that a model carries; None where it carries none."""
    tags = getattr(model, "tags", None)
    if not isinstance(tags, TagGraph):
        return None
    if tags.items != split.items:
        raise MisalignedArrays("the model's tags belong to other items than this split has. Train it on this one.")
    return tags


def _cold(split: Split) -> Rows:
    """The items (n,) without a training interaction; raises `ConfigError` where there are none."""
    cold = np.flatnonzero(np.bincount(split.train.item, minlength=len(split.items)) == 0).astype(np.int64)
    if not len(cold):
        raise ConfigError(
            "every item of this split has a training interaction, so there are no cold items to rank; "
            "make some with `hyperllm prepare … --cold-items 0.1`."
        )
    return cold


def _same_pairs(left: sparse.csr_matrix, right: sparse.csr_matrix) -> bool:
    return (
        left.shape == right.shape
        and np.array_equal(left.indptr, right.indptr)
        and np.array_equal(left.indices, right.indices)
    )


def _train_and_valid(split: Split) -> sparse.csr_matrix:
    user = np.concatenate([split.train.user, split.valid.user])
    item = np.concatenate([split.train.item, split.valid.item])
    return Pairs(user, item).matrix(len(split.users), len(split.items))


def _width(matrix: sparse.csr_matrix) -> int:
    return int(cast(tuple[int, int], matrix.shape)[1])


def rank_all(ranker: Ranker, rows: Rows, k: int, *, mask: sparse.csr_matrix) -> TopK:
    """Call ``ranker`` for ``rows`` (n,), so many at a time that a dense score block stays within 2²⁴ values."""
    step = max(1, _SCORES_AT_ONCE // max(1, _width(mask)))
    parts = [ranker(rows[start : start + step], k, mask=mask) for start in range(0, len(rows), step)]
    found = TopK(np.concatenate([p.items for p in parts]), np.concatenate([p.scores for p in parts]))
    if found.items.shape != (len(rows), k):
        raise MisalignedArrays(f"the ranker returned items of shape {found.items.shape}; expected {(len(rows), k)}.")
    return found


def hits(items: Rows, relevant: sparse.csr_matrix) -> Hits:
    """Which places of ``items`` (n, K) hold an item stored in the same row of ``relevant`` (n, I)."""
    n, width = len(items), _width(relevant)
    user = np.arange(n, dtype=np.int64)
    right = np.repeat(user, np.diff(relevant.indptr)) * width + relevant.indices
    return np.isin(user[:, None] * width + items, right) & (items >= 0)


def _per_user(
    found: TopK, relevant: sparse.csr_matrix, depths: Sequence[int], metrics: Sequence[str]
) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
    right = hits(found.items, relevant)
    count = np.diff(relevant.indptr).astype(np.int64)
    return {f"{name}@{depth}": METRICS[name](right[:, :depth], count) for name in metrics for depth in depths}
