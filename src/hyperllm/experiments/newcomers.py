"""The add-items stage: a table of new items and a finished run to items that can be recommended.

Knows where a run keeps what was added, and who writes profiles. The run itself stays as it was trained and measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hyperllm.data.sources.table import read_items
from hyperllm.errors import DataError
from hyperllm.experiments.workspace import Workspace
from hyperllm.extraction.ask import Progress
from hyperllm.extraction.config import ExtractConfig
from hyperllm.extraction.later import later_profiles
from hyperllm.serving.additions import Additions
from hyperllm.serving.model import ScoreModel
from hyperllm.serving.newcomers import Method, Placed, encoder_for, place

_SHOWN = 20


@dataclass(frozen=True)
class AddedItems:
    """What became of the new items, and which of the table stood there already."""

    placed: Placed | None
    known: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """As plain lines: each new item, its tags, and the known item it stands nearest to."""
        items = () if self.placed is None else self.placed.items
        lines = [f"{len(items):,} items placed" + (f", {len(self.known):,} known already" if self.known else "")]
        for item in items[:_SHOWN]:
            tags = ", ".join(tag.name for tag in item.tags) or "no known tag"
            near = item.near[0]
            lines.append(
                f"{item.item_id} {item.title or ''}: {tags}; by {item.by}, next to {near.title or near.item_id}"
            )
        return "\n".join(lines + ([f"… and {len(items) - _SHOWN:,} more"] if len(items) > _SHOWN else []))

    def document(self) -> dict[str, Any]:
        """As a JSON object."""
        placed = [] if self.placed is None else [asdict(item) for item in self.placed.items]
        return {"placed": placed, "known": list(self.known), "notes": list(self.notes)}


def add_items(
    workspace: Path,
    run: str,
    items: Any,
    *,
    columns: Mapping[str, Any] | None = None,
    config: ExtractConfig | None = None,
    method: Method = "neighbours",
    progress: Progress | None = None,
) -> AddedItems:
    """Place the items of a table or data frame and keep them beside the run.

    Items that the run knows, or that were added before, are left as they are. With a ``config`` that asks a language
    model its profiles take the place of the catalogue's words. Raises `DataError` where an item is like nothing known;
    then none is added.
    """
    folder = Workspace.opened(workspace).run(run)
    additions = Additions.beside(folder)
    model = additions.apply(ScoreModel.load(folder / "model"))
    catalog, notes = read_items(items, **(columns or {}))
    known = tuple(item for item in catalog.items.ids if item in model.items)
    fresh = catalog.without(known)
    if not len(fresh.items):
        return AddedItems(None, known, notes)
    encode, remark = encoder_for(model)
    profiles = None
    told = [*notes, *([] if remark is None else [remark])]
    if config is not None and config.asks:
        profiles, outcome = later_profiles(workspace, config, fresh, progress=progress)
        if outcome.stopped is not None:
            raise DataError(f"asking stopped early: {outcome.stopped}. Nothing was added; what was answered is kept.")
        told += [f"{item} got no profile: {reason}" for item, reason in list(outcome.examples.items())[:3]]
    placed = place(model, fresh, encode=encode, profiles=profiles, method=method)
    additions.add(fresh, placed, profiles=profiles, method=method)
    return AddedItems(placed, known, (*told, *placed.notes))


def remove_items(workspace: Path, run: str, items: Sequence[str]) -> list[str]:
    """Take added items out of a run again; returns those that were there. Trained items cannot be removed."""
    return Additions.beside(Workspace.opened(workspace).run(run)).forget(items)
