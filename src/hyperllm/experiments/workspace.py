"""A workspace is a folder of artifacts: ``dataset/ split/ profiles/NAME tags/NAME semantics/NAME runs/NAME``.

Knows where each artifact stands and which named set is meant when none is named. Does not know what is inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hyperllm import artifacts
from hyperllm.data import sets
from hyperllm.data.semantics import Semantics
from hyperllm.data.split import Split
from hyperllm.data.tags import TagGraph
from hyperllm.errors import ConfigError, Incomplete, did_you_mean

NONE = sets.NONE
RUN = "run"


@dataclass(frozen=True)
class Workspace:
    """Paths and named sets of one workspace."""

    folder: Path

    @classmethod
    def opened(cls, folder: Path) -> Workspace:
        """An existing, prepared workspace; raises `Incomplete` with the command that makes one."""
        artifacts.recover(folder / "split")
        if artifacts.peek(folder / "split") is None:
            raise Incomplete(
                f"{str(folder)!r} is not a prepared workspace (it has no finished split). "
                f"Run `hyperllm prepare {folder} …` first, or check the path."
            )
        return cls(folder)

    def run(self, name: str) -> Path:
        """The folder of a finished run; raises `ConfigError` that lists the runs there are."""
        folder = self.folder / "runs" / name
        artifacts.recover(folder)
        if artifacts.peek(folder) is None:
            known = self.sets("runs")
            there = f"there are {', '.join(known)}" if known else "there are none yet; run `hyperllm train`"
            raise ConfigError(f"no finished run {name!r} in {str(self.folder)!r}; {there}.{did_you_mean(name, known)}")
        return folder

    def sets(self, kind: str) -> list[str]:
        """Names of the finished artifacts below ``kind``, the newest last."""
        return sets.names(self.folder, kind)

    def chosen(self, kind: str, name: str | None) -> str | None:
        """The set that a name, or no name, means; see `hyperllm.data.sets.chosen`."""
        return sets.chosen(self.folder, kind, name)

    def split(self) -> Split:
        """The split."""
        return Split.load(self.folder / "split")

    def tags(self, name: str | None) -> TagGraph | None:
        """A tag set, by `chosen`."""
        found = self.chosen("tags", name)
        return None if found is None else TagGraph.load(self.folder / "tags" / found)

    def semantics(self, name: str | None, split: Split) -> Semantics | None:
        """A set of text vectors, by `chosen`."""
        found = self.chosen("semantics", name)
        if found is None:
            return None
        return Semantics.load(self.folder / "semantics" / found, users=split.users, items=split.items)

    def fingerprint(self, *parts: str) -> str:
        """Fingerprint of the artifact at a relative path."""
        return artifacts.fingerprint(self.folder.joinpath(*parts))


def check_run_name(name: str) -> str:
    """A run name is one plain folder name."""
    if not name or name.startswith(".") or "/" in name or "\\" in name:
        raise ConfigError(f"a run name is a plain word such as 'hyperllm' or 'run-2'; found {name!r}")
    return name
