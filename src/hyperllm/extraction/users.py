"""What is asked about users: one question each, from the profiles of the user's *training* items.

`histories` reads the training pairs of a split and nothing else, so held-out clicks cannot reach a prompt. A history
that is too long for a model's context keeps as many whole entries as fit; which ones is decided by a hash of the user
and the item, so the choice is the same every time and favours neither old nor popular items. No id of a user or item
is part of a prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b

import numpy as np

from hyperllm.data.interactions import Pairs
from hyperllm.extraction.profiles import ItemProfile
from hyperllm.extraction.untrusted import as_data
from hyperllm.ids import Rows, Vocabulary

KIND = "user"
ENTRY_LIMIT = 700
"""Characters one item's entry has at most."""


def histories(train: Pairs, users: Vocabulary) -> Iterator[tuple[str, Rows]]:
    """(user id, row numbers of the user's training items in ascending order), in vocabulary order."""
    order = np.lexsort((train.item, train.user))
    ends = np.searchsorted(train.user[order], np.arange(len(users) + 1))
    for row, user in enumerate(users.ids):
        yield user, np.unique(train.item[order[ends[row] : ends[row + 1]]])


def entry(profile: ItemProfile) -> str:
    """One item as it stands in a user's prompt: the paper's ``Summary: Sᵢ, Tags: Tagsᵢ``."""
    names = as_data(", ".join(name for level in profile.tags for name in level), ENTRY_LIMIT // 2)
    summary = as_data(profile.summary, ENTRY_LIMIT - len(names) - len("Summary:  Tags: "))
    return f"Summary: {summary} Tags: {names}"


def history_text(
    user: str, items: Sequence[str], told: Callable[[str], str | None], *, join: str, limit: int
) -> tuple[str, int]:
    """(the entries that fit into ``limit`` characters, how many items were left out for want of room)."""
    chosen: dict[str, str] = {}
    left, dropped = limit + len(join), 0
    for item in sorted(items, key=lambda item: blake2b(f"{user}\0{item}".encode(), digest_size=8).digest()):
        found = told(item)
        if found is None:
            continue
        if chosen and len(found) + len(join) > left:
            dropped += 1
            continue
        chosen[item] = found
        left -= len(found) + len(join)
    return join.join(chosen[item] for item in items if item in chosen), dropped
