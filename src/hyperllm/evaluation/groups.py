"""User groups by activity (Figure 4).

Knows how to divide users into equal parts by (number of training interactions, row number) and to average a per-user
table over them. Does not know how the table was made.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from hyperllm.data.split import Split
from hyperllm.errors import ConfigError
from hyperllm.evaluation.evaluate import Evaluation
from hyperllm.ids import Rows


def activity_groups(split: Split, groups: int = 5) -> Rows:
    """Group number (U,) of every user, 0 the least active; sizes differ by at most one, larger groups first."""
    if not 1 <= groups <= len(split.users):
        raise ConfigError(f"groups is {groups!r}; expected 1 to {len(split.users):,}, the number of users.")
    order = np.argsort(training_counts(split), kind="stable")
    group = np.empty(len(order), dtype=np.int64)
    for number, members in enumerate(np.array_split(order, groups)):
        group[members] = number
    return group


def training_counts(split: Split) -> Rows:
    """Training interactions (U,) of every user."""
    return np.bincount(split.train.user, minlength=len(split.users)).astype(np.int64)


def by_activity(evaluation: Evaluation, split: Split, *, groups: int = 5) -> pl.DataFrame:
    """`grouped` for the metrics of an evaluation."""
    return grouped(evaluation.per_user.select("user_id", *evaluation.metrics), split, groups=groups)


def grouped(per_user: pl.DataFrame, split: Split, *, groups: int = 5) -> pl.DataFrame:
    """Mean of each metric, a column beside ``user_id``, within each activity group.

    Columns: group (1 the least active), users (counted ones), fewest and most (training interactions), the metrics.
    Groups are formed over all users; a group none of whose users was measured is absent.
    """
    table = pl.DataFrame(
        {
            "user_id": split.users.ids,
            "group": activity_groups(split, groups) + 1,
            "clicks": training_counts(split),
        }
    )
    return (
        per_user.join(table, on="user_id", how="inner")
        .group_by("group")
        .agg(
            pl.len().alias("users"),
            pl.col("clicks").min().alias("fewest"),
            pl.col("clicks").max().alias("most"),
            *(pl.col(name).mean() for name in per_user.columns if name != "user_id"),
        )
        .sort("group")
    )
