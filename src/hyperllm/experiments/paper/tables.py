"""The paper's four tables as sheets.

Knows which rows and columns each has, and where a workspace keeps what Tables 1 and 2 count. Published numbers stand
beside ours where the data set is the paper's; of any other data set the same tables are made without them. Does not
train, evaluate or draw.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import polars as pl

from hyperllm import artifacts
from hyperllm.data.card import TOKEN, TOKENIZER
from hyperllm.data.prepare import load_report
from hyperllm.data.tags import KIND as TAGS
from hyperllm.evaluation.compare import Cell
from hyperllm.experiments.paper import facts
from hyperllm.experiments.paper.facts import Key
from hyperllm.experiments.paper.sheet import BASE, OWN, Column, Measured, Number, Row, Sheet, assemble, gains
from hyperllm.experiments.workspace import Workspace
from hyperllm.extraction.profiles import KIND as PROFILES

PLAIN = "plain"
"""The group of recommenders without a backbone; it stands last."""
FRAMEWORKS = (BASE, "kar", "kar-tuned", "rlmrec-con", "rlmrec-gen", "alpharec", "herec", "llminit", OWN)
"""The order of Table 4's rows; those that the paper has not appear where they were tried."""
TABLE3 = tuple(Column(f"{kind}@{k}", f"{kind[0].upper()}@{k}") for kind in ("recall", "ndcg") for k in (10, 20))
TABLE4 = (
    Column("recall@20", "Recall@20"),
    Column("ndcg@20", "NDCG@20"),
    Column("seconds", "Time (s)", ",.0f", "cheaper"),
)
_SIZES = dict.fromkeys(("users", "items", "interactions"), ",.0f")
_TABLE1 = {**_SIZES, "density": ".2%", "features": ",.0f", "mean_tokens": ".0f"}
_TABLE2 = {"tags": ",.0f", "tag_item_pairs": ",.0f", "tag_tag_edges": ",.0f", "summary_tokens": ".0f"}
_MARKS = "The paper marks variants only; here the base competes with them, except in time."
TIME = "Time: seconds of training until the best epoch, phase 1 of HyperLLM included."
_GPU = "The paper trained on an RTX 3090: compare times within a column."
_SWAPPED = "The paper prints Tag-Item and Tag-Tag under each other's header; here each count has its own."
_TOKENS = f"Tokens by {TOKENIZER!r}: runs of letters and digits, and every other mark. The paper names no tokenizer."


def dataset(workspace: Path) -> str:
    """Which of the paper's data sets a prepared workspace holds, by its size, or an empty string."""
    card = load_report(workspace).card
    return facts.recognised(users=card.users, items=card.items, interactions=card.interactions)


def table1_sheet(workspace: Path) -> Sheet:
    """Table 1. The statistics of a prepared workspace, from its data card."""
    card = load_report(workspace).card
    values = {name: float(getattr(card, name)) for name in _TABLE1}
    rows = _statistics(_TABLE1, values, facts.table1(dataset(workspace)), missing="")
    notes = ("Features are non-empty text attributes: title, description, brand and categories.", _TOKENS)
    return _statistics_sheet("table1", "Table 1. The data set", rows, notes)


def table2_sheet(workspace: Path, tags: str | None = None) -> Sheet:
    """Table 2: a tag set, by `hyperllm.data.sets.chosen`, and the summaries that were written with it.

    Imported tags have no summaries, and a workspace without tags has nothing; what is missing is said to be so.
    """
    found = Workspace.opened(workspace).chosen("tags", tags)
    published = facts.table2(dataset(workspace))
    values: dict[str, float] = {}
    notes = [_SWAPPED, _TOKENS] if published else [_TOKENS]
    if found is not None:
        counts = artifacts.read(workspace / "tags" / found, TAGS).facts
        values = {name: float(counts[name]) for name in _TABLE2 if name in counts}
        tokens = _summary_tokens(workspace / "profiles" / found)
        if tokens:
            values["summary_tokens"] = fmean(token for counts in tokens.values() for token in counts)
            means = ", ".join(f"{kind} {fmean(counts):.0f}" for kind, counts in tokens.items())
            notes.append(f"Avg Summary is over all summaries ({means}); the paper does not say which it counts.")
    reason = "no tags" if found is None else f"no summaries with {found!r}"
    rows = _statistics(_TABLE2, values, published, missing=reason)
    return _statistics_sheet("table2", "Table 2. What was extracted from its texts", rows, notes)


def _summary_tokens(profiles: Path) -> dict[str, list[int]]:
    """items, users -> tokens of each summary; empty where there are no profiles."""
    if artifacts.peek(profiles) is None:
        return {}
    artifacts.read(profiles, PROFILES)
    files = {kind: profiles / f"{kind}.parquet" for kind in ("items", "users")}
    found = {k: pl.read_parquet(f, columns=["summary"])["summary"] for k, f in files.items() if f.exists()}
    return {kind: texts.str.count_matches(TOKEN).to_list() for kind, texts in found.items() if len(texts)}


def _statistics(
    forms: Mapping[str, str], values: Mapping[str, float], published: Mapping[str, float], *, missing: str
) -> list[Row]:
    return [
        Row(
            "",
            name,
            {"value": Number(values.get(name), published=published.get(name))},
            form,
            "" if name in values else missing,
        )
        for name, form in forms.items()
    ]


def _statistics_sheet(name: str, heading: str, rows: Iterable[Row], notes: Iterable[str]) -> Sheet:
    column = Column("value", "Here", better="neither")
    return Sheet(name, heading, (column,), tuple(rows), ("", "Statistic"), tuple(notes))


def table3_sheet(
    dataset: str,
    measured: Mapping[Key, Mapping[str, Measured]],
    *,
    significance: Mapping[Key, Mapping[str, Cell]] | None = None,
    missing: Mapping[Key, str] | None = None,
    backbones: Sequence[str] = facts.BACKBONES,
    notes: Sequence[str] = (),
) -> Sheet:
    """Table 3: five backbones × four variants, other backbones that were measured, plain rows; §5.2's gains below.

    Keys are (backbone, variant) and (`PLAIN`, baseline); keys of other tables are passed over. ``backbones``
    have rows in any case, and those the paper has numbers of. For the rest see `assemble`.
    """
    published = facts.table3(dataset)
    sheet = assemble(
        "table3",
        "Table 3. What structure and semantics add",
        TABLE3,
        _keys(facts.VARIANTS, facts.VARIANTS, [*measured, *(missing or {})], [*backbones, *_backbones(published)]),
        measured=measured,
        published=published,
        significance=significance,
        missing=missing,
        notes=(*((_MARKS,) if published else ()), *notes),
    )
    return replace(sheet, summary=gains(sheet, stated=facts.GAINS if published else None))


def table4_sheet(
    dataset: str,
    measured: Mapping[Key, Mapping[str, Measured]],
    *,
    significance: Mapping[Key, Mapping[str, Cell]] | None = None,
    missing: Mapping[Key, str] | None = None,
    backbones: Sequence[str] = facts.BACKBONES,
    notes: Sequence[str] = (),
) -> Sheet:
    """Table 4: five backbones × the paper's frameworks, what else of `FRAMEWORKS` was measured, plain rows.

    Keys are (backbone, framework) and (`PLAIN`, baseline); keys of other tables are passed over. ``backbones``
    have rows in any case, and those the paper has numbers of. For the rest see `assemble`.
    """
    published = facts.table4(dataset)
    return assemble(
        "table4",
        "Table 4. HyperLLM and its rivals",
        TABLE4,
        _keys(FRAMEWORKS, facts.FRAMEWORKS, [*measured, *(missing or {})], [*backbones, *_backbones(published)]),
        measured=measured,
        published=published,
        significance=significance,
        missing=missing,
        notes=(TIME, *((_MARKS, _GPU) if published else ()), *notes),
    )


def _backbones(published: Mapping[Key, object]) -> list[str]:
    """The backbones that something is published of."""
    return list(dict.fromkeys(backbone for backbone, _ in published))


def _keys(names: Sequence[str], always: Sequence[str], found: Sequence[Key], backbones: Sequence[str]) -> list[Key]:
    """``names`` under each backbone: those of ``always`` and those found; then the plain rows found."""
    known = [name for name in facts.BACKBONES if name in backbones]
    groups = dict.fromkeys([*known, *backbones, *(group for group, _ in found if group != PLAIN)])
    wanted = {(group, name) for group in [*known, *backbones] for name in always} | set(found)
    plain = dict.fromkeys(key for key in found if key[0] == PLAIN)
    return [(group, name) for group in groups for name in names if (group, name) in wanted] + list(plain)
