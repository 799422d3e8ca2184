"""Profiles to one tag graph.

1. Names are put under the most frequent spelling of their tag by the rules of `naming`: always where they are equal
   after folding, by default also where only blanks, hyphens, ``&`` or an English plural tell them apart, and by meaning
   where a text encoder is given with a threshold. The tag's id is its folded name.
2. A tag's level is the one most items give it, the broader at a tie. An item counts once a tag, with the broadest level
   it gives.
3. Of the stated (parent, child) edges those stay, once, that lead from a broader to a narrower level; so there are no
   loops. An edge is dropped where no item has one of its ends as a tag, where both ends are one tag, and where it leads
   to the same or a broader level. A loop broken by that is a strongly connected component of several tags in the graph
   of the edges between two tags.
4. A hub, a tag on more than ``hub_share`` of the items that have tags, tells items hardly apart: it keeps its edges to
   other tags and loses its items, but for those that have no tag except hubs.

Everything merged or dropped is counted. The order of the profiles does not matter; memory grows with spellings, tags
and pairs, so that profiles may come from a file as they are needed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from dataclasses import dataclass as plain_dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field
from pydantic.dataclasses import dataclass
from scipy import sparse
from scipy.sparse import csgraph

from hyperllm.config import SETTINGS
from hyperllm.data.tags import TagGraph
from hyperllm.errors import ConfigError, DataError
from hyperllm.extraction.naming import EXAMPLES, Given, Kind, Naming, form, levels_by_majority, name_tags, shortened
from hyperllm.extraction.profiles import ItemProfile
from hyperllm.extraction.words import fold
from hyperllm.ids import Rows, Vocabulary
from hyperllm.llm.encoder import TextEncoder

TOKEN = r"\w+|[^\w\s]"
"""What counts as a token of a summary: a word or a punctuation mark."""
_SAID = {"spelling": "spellings", "form": "other forms", "meaning": "tags of like meaning"}

Share = Annotated[float, Field(gt=0, le=1)]


@dataclass(frozen=True, config=SETTINGS)
class TaxonomyConfig:
    """How `build` makes one graph of many profiles."""

    merge_forms: bool = True
    """Whether names that differ only in blanks, hyphens, ``&`` or an English plural are one tag."""
    merge_similarity: Share | None = None
    """Cosine from which two tags of one level are one tag; needs a text encoder. None merges no tags by meaning."""
    hub_share: Share | None = 0.8
    """A tag on more than this share of the items that have tags loses its items. None keeps them."""


DEFAULT = TaxonomyConfig()


@plain_dataclass(frozen=True)
class TaxonomyReport:
    """Counts of what came, what was merged, what was dropped and what stayed.

    The sums: spellings = tags + merged; names_given = names_empty + pairs_repeated + hub_links + tag_item_pairs;
    edges_given = the three edges_… dropped + edges_repeated + tag_tag_edges.
    """

    profiles: int
    summary_tokens: int
    """Matches of `TOKEN` in all summaries together."""
    tags: int
    tag_item_pairs: int
    tag_tag_edges: int
    items_without_tags: int
    names_given: int
    names_empty: int
    """Names that are nothing but blanks and punctuation."""
    pairs_repeated: int
    """Names of a tag that the item already has."""
    spellings: int
    merged: Mapping[Kind, int]
    """Spellings that name no tag, by the step that put them under another."""
    levels_reconciled: int
    """Tags given on several levels."""
    edges_given: int
    edges_without_tag: int
    edges_to_self: int
    edges_not_downward: int
    edges_repeated: int
    """Statements of an edge that stays, beyond the first."""
    edges_of_one_item: int
    """Edges that stay on the word of a single profile."""
    loops_broken: int
    orphans: int
    """Tags below level 1 that no edge leads to."""
    hubs: int
    hub_links: int
    """Tag-item pairs dropped because the tag is a hub."""
    merge_examples: Mapping[Kind, tuple[tuple[str, str], ...]]
    """(spelling, the name it came under), the most frequent first."""
    hub_examples: tuple[tuple[str, float], ...]
    """(name, share of the items that have tags), the widest first."""

    @property
    def summary_tokens_mean(self) -> float:
        """Tokens a summary."""
        return self.summary_tokens / max(self.profiles, 1)

    def table2(self) -> dict[str, Any]:
        """The statistics of the paper's Table 2, where the headings of its two kinds of pairs are swapped."""
        return {
            "tags": self.tags,
            "tag_item_pairs": self.tag_item_pairs,
            "tag_tag_edges": self.tag_tag_edges,
            "summary_tokens_mean": round(self.summary_tokens_mean, 2),
            "tokenizer": TOKEN,
        }

    def document(self) -> dict[str, Any]:
        """As JSON, every field and `table2`."""
        examples = {kind: [list(pair) for pair in pairs] for kind, pairs in self.merge_examples.items()}
        hubs = [[name, round(share, 4)] for name, share in self.hub_examples]
        return asdict(self) | {"merge_examples": examples, "hub_examples": hubs, "table2": self.table2()}

    def text(self) -> str:
        """As plain lines; what did not happen is not mentioned."""
        lines = [
            f"{self.tags:,} tags, {self.tag_item_pairs:,} tag-item pairs, {self.tag_tag_edges:,} tag-tag edges; "
            f"summaries of {self.summary_tokens_mean:.1f} tokens",
            _phrase("merged", {_SAID[kind]: n for kind, n in self.merged.items()}) + self._such_as(),
            _phrase("reconciled", {"levels": self.levels_reconciled, "loops": self.loops_broken}),
            _phrase(
                "dropped edges:",
                {
                    "to a tag not given": self.edges_without_tag,
                    "to itself": self.edges_to_self,
                    "not from broader to narrower": self.edges_not_downward,
                },
            ),
            _phrase("dropped", {"tag-item pairs of hubs": self.hub_links}) + self._hubs(),
            _phrase(
                "left", {"items without tags": self.items_without_tags, "tags below level 1 under none": self.orphans}
            ),
        ]
        return "\n".join(line for line in lines if line)

    def _such_as(self) -> str:
        firsts = [pairs[0] for kind, pairs in self.merge_examples.items() if pairs and kind != "spelling"]
        return ", such as " + ", ".join(f"{spelling!r} → {tag!r}" for spelling, tag in firsts) if firsts else ""

    def _hubs(self) -> str:
        shown = [f"{name!r} on {share:.0%}" for name, share in self.hub_examples[:3]]
        more = [f"{self.hubs - len(shown):,} more"] if self.hubs > len(shown) else []
        return f": {', '.join(shown + more)} of the items" if shown else ""


def _phrase(verb: str, counts: Mapping[str, int]) -> str:
    said = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
    return f"{verb} {said}" if said else ""


def build(
    profiles: Iterable[ItemProfile],
    items: Vocabulary,
    *,
    config: TaxonomyConfig = DEFAULT,
    encoder: TextEncoder | None = None,
) -> tuple[TagGraph, TaxonomyReport]:
    """The tag graph of all profiles, and what was done to get it.

    ``profiles`` are read three times. Raises `ConfigError` where ``merge_similarity`` has no encoder, `DataError` where
    the profiles can be read only once, and `UnknownId` where one is of an item not in ``items``.
    """
    if config.merge_similarity is not None and encoder is None:
        raise ConfigError(f"merge_similarity is {config.merge_similarity}; it needs a text encoder, and none is given")
    if iter(profiles) is profiles:
        raise DataError("the profiles can be read only once; give a list or another collection, not an iterator")
    given = Given.read(profiles, items)
    naming = name_tags(given, forms=config.merge_forms, similarity=config.merge_similarity, encoder=encoder)
    chosen = np.unique(naming.tag)
    name = {given.forms[s]: given.spellings[s] for s in chosen}
    tags = Vocabulary.of(name)
    row = tags.rows([given.forms[s] for s in naming.tag])
    pairs = given.pairs(row)
    level = levels_by_majority(pairs, len(tags))
    edges = _Edges.read(profiles, _Finder.of(given, row, merge_forms=config.merge_forms), level)
    hubs = _Hubs.find(pairs, len(tags), config.hub_share)
    graph = TagGraph(
        tags=tags,
        items=items,
        names=tuple(name[tag] for tag in tags.ids),
        level=level,
        tag_items=pairs[hubs.kept, :2],
        tag_edges=edges.downward,
        directed=True,
    )
    return graph, _report(graph, profiles, given, naming, row, edges, hubs)


def _report(
    graph: TagGraph,
    profiles: Iterable[ItemProfile],
    given: Given,
    naming: Naming,
    row: Rows,
    edges: _Edges,
    hubs: _Hubs,
) -> TaxonomyReport:
    count, tokens = _summaries(profiles)
    beneath = np.bincount(edges.downward[:, 1], minlength=len(graph.tags)) > 0
    widest = zip(hubs.rows[:EXAMPLES], hubs.shares[:EXAMPLES], strict=True)
    return TaxonomyReport(
        profiles=count,
        summary_tokens=tokens,
        tags=len(graph.tags),
        tag_item_pairs=len(graph.tag_items),
        tag_tag_edges=len(graph.tag_edges),
        items_without_tags=len(graph.items) - len(np.unique(graph.tag_items[:, 1])),
        names_given=given.names,
        names_empty=given.empty,
        pairs_repeated=given.names - given.empty - len(hubs.kept),
        spellings=len(given.spellings),
        merged=naming.merged,
        levels_reconciled=_on_several_levels(row[given.spelling], given.level, len(graph.tags)),
        edges_given=edges.given,
        edges_without_tag=edges.lost["without tag"],
        edges_to_self=edges.lost["to self"],
        edges_not_downward=edges.lost["not downward"],
        edges_repeated=edges.given - edges.lost.total() - len(edges.downward),
        edges_of_one_item=edges.of_one_item,
        loops_broken=edges.loops,
        orphans=int((~beneath[graph.level > 1]).sum()),
        hubs=len(hubs.rows),
        hub_links=int((~hubs.kept).sum()),
        merge_examples=naming.examples,
        hub_examples=tuple((shortened(graph.names[tag]), float(share)) for tag, share in widest),
    )


def _on_several_levels(tag: Rows, level: Rows, tags: int) -> int:
    seen = np.unique(np.stack([tag, level], axis=1), axis=0)
    return int((np.bincount(seen[:, 0], minlength=tags) > 1).sum())


def _summaries(profiles: Iterable[ItemProfile]) -> tuple[int, int]:
    """(profiles, tokens of their summaries)."""
    count = tokens = 0
    for profile in profiles:
        count += 1
        tokens += sum(1 for _ in re.finditer(TOKEN, profile.summary))
    return count, tokens


@plain_dataclass(frozen=True)
class _Finder:
    """Names to rows of tags: spellings as they were given at once, others under the form that names are compared in."""

    by_spelling: Mapping[str, int]
    by_form: Mapping[str, int]
    merge_forms: bool

    @classmethod
    def of(cls, given: Given, row: Rows, *, merge_forms: bool) -> _Finder:
        rows = row.tolist()
        forms = map(form, given.forms) if merge_forms else given.forms
        by_spelling = dict(zip(given.spellings, rows, strict=True))
        return cls(by_spelling, dict(zip(forms, rows, strict=True)), merge_forms)

    def row(self, name: str) -> int | None:
        found = self.by_spelling.get(name)
        if found is not None:
            return found
        folded = fold(name)
        return self.by_form.get(form(folded) if self.merge_forms else folded)


@plain_dataclass(frozen=True)
class _Edges:
    """``downward`` (e, 2) holds (parent, child) in order; the rest are counts."""

    downward: Rows
    given: int
    lost: Counter[str]
    of_one_item: int
    loops: int

    @classmethod
    def read(cls, profiles: Iterable[ItemProfile], finder: _Finder, level: Rows) -> _Edges:
        """Read the edges of all profiles."""
        tags, given = len(level), 0
        lost: Counter[str] = Counter()
        stating: Counter[int] = Counter()
        level_of = level.tolist()
        for profile in profiles:
            said: set[int] = set()
            for parent, child in ((finder.row(a), finder.row(b)) for a, b in profile.edges):
                given += 1
                if parent is None or child is None:
                    lost["without tag"] += 1
                elif parent == child:
                    lost["to self"] += 1
                else:
                    said.add(parent * tags + child)
                    lost["not downward"] += level_of[parent] >= level_of[child]
            stating.update(said)
        codes = np.array(sorted(stating), dtype=np.int64)
        pairs = np.stack(np.divmod(codes, max(tags, 1)), axis=1)
        down = level[pairs[:, 0]] < level[pairs[:, 1]]
        of_one = sum(stating[code] == 1 for code in codes[down].tolist())
        return cls(pairs[down], given, lost, of_one, _loops(pairs, tags))


def _loops(edges: Rows, tags: int) -> int:
    """Strongly connected components of more than one tag."""
    if not len(edges):
        return 0
    ones = np.ones(len(edges), dtype=np.int8)
    graph = sparse.csr_matrix((ones, (edges[:, 0], edges[:, 1])), shape=(tags, tags))
    _, component = csgraph.connected_components(graph, directed=True, connection="strong")
    return int((np.bincount(component) > 1).sum())


@plain_dataclass(frozen=True)
class _Hubs:
    """``rows`` of the tags that lose items and their ``shares``, widest first; ``kept`` (pairs,) which pairs stay."""

    rows: Rows
    shares: npt.NDArray[np.float64]
    kept: npt.NDArray[np.bool_]

    @classmethod
    def find(cls, pairs: Rows, tags: int, share: float | None) -> _Hubs:
        """Find hubs among (tag, item, …) rows that stand there once."""
        tag, item = pairs[:, 0], pairs[:, 1]
        shares = np.bincount(tag, minlength=tags) / max(len(np.unique(item)), 1)
        hub = shares > (1.0 if share is None else share)
        others = np.bincount(item, weights=~hub[tag])
        kept = ~hub[tag] | (others[item] == 0)
        rows = np.unique(tag[~kept])
        rows = rows[np.argsort(-shares[rows], kind="stable")]
        return cls(rows, shares[rows], kept)
