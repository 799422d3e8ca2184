"""The extract stage: a catalogue to a profile set and a tag set.

``keywords`` needs no model; a chat model is asked item by item, then user by user. Every call is in the workspace's
ledger, so nothing is asked twice: not after an interruption, nor with another ``limit``, nor when the catalogue grows.
An imported tag set (``published``) is never touched. Knows what is read and written; does not know how to ask.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hyperllm import artifacts
from hyperllm.data.prepare import load_catalog, load_split
from hyperllm.data.split import Split
from hyperllm.data.tags import KIND as TAGS
from hyperllm.errors import ConfigError, DataError
from hyperllm.extraction import ask, keywords, profiles, taxonomy
from hyperllm.extraction.ask import Asking, Outcome, Progress
from hyperllm.extraction.config import ExtractConfig
from hyperllm.extraction.interview import Interview, identity
from hyperllm.extraction.profiles import ItemProfile, UserProfile
from hyperllm.llm.encoders import make_encoder
from hyperllm.llm.ledger import NAME as LEDGER
from hyperllm.llm.ledger import Ledger


@dataclass(frozen=True)
class Extracted:
    """What stands in the workspace now.

    ``left_out`` maps some of those without a profile to the reason, ``without`` counts all of them by kind of reason;
    ``stopped`` says why asking ended early, if it did.
    """

    name: str
    items: int
    users: int
    taxonomy: taxonomy.TaxonomyReport | None = None
    left_out: dict[str, str] = field(default_factory=dict)
    without: Counter[str] = field(default_factory=Counter[str])
    unanswered: int = 0
    notes: tuple[str, ...] = ()
    stopped: str | None = None
    skipped: bool = False

    def text(self) -> str:
        """As plain lines."""
        if self.skipped:
            return f"{self.name}: found done"
        people = f" and {self.users:,} users" if self.users else ""
        lines = [f"{self.name}: profiles of {self.items:,} items{people}"]
        if self.taxonomy is not None:
            lines.append(self.taxonomy.text())
        if total := sum(self.without.values()):
            first = next(iter(self.left_out))
            lines.append(f"left out {total:,}, such as {first}: {self.left_out[first]}")
        if self.unanswered:
            lines.append(f"{self.unanswered:,} of them got no answer; repeat the command to ask again")
        lines += self.notes
        if self.stopped is not None:
            lines.append(f"stopped early: {self.stopped}. What is finished is kept; repeat the command to go on.")
        return "\n".join(lines)

    def document(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "name": self.name,
            "items": self.items,
            "users": self.users,
            "tags": None if self.taxonomy is None else self.taxonomy.document(),
            "without_profile": dict(self.without),
            "unanswered": self.unanswered,
            "examples": self.left_out,
            "notes": list(self.notes),
            "stopped": self.stopped,
            "skipped": self.skipped,
        }


def extract(
    workspace: Path,
    config: ExtractConfig | None = None,
    *,
    progress: Progress | None = None,
    asking: Asking = ask.run,
) -> Extracted:
    """Write ``profiles/NAME`` and ``tags/NAME``; found done where catalogue, split and settings are unchanged.

    ``asking`` is who asks what is open: this process, or `hyperllm.scale.asking`.
    Raises `DataError` where no tag can be found, and `ProviderUnavailable` where the model cannot be had; what was
    answered until then is kept.
    """
    config = config or ExtractConfig()
    split = load_split(workspace)
    inputs = {name: artifacts.fingerprint(workspace / name) for name in ("dataset", "split")}
    output = _Output(workspace, config, inputs)
    if not config.retry and (done := output.current()) is not None:
        return done
    output.check_identity()
    if not config.asks:
        catalog = load_catalog(workspace).take(split.items)
        return output.write(split, iter(keywords.keyword_profiles(catalog)[: config.limit]))
    with Ledger.opened(workspace / LEDGER) as ledger:
        again = ledger.reopen(config.set_name) if config.retry else 0
        interview = Interview(workspace, config, split, ledger, progress, asking)
        outcome = interview.ask()
        if outcome.stopped is not None and not outcome.verdicts["done"]:
            return Extracted(config.set_name, 0, 0, stopped=outcome.stopped)
        people = interview.user_profiles() if interview.has_users else None
        notes = tuple(interview.notes(again))
        return output.write(
            split,
            interview.item_profiles(),
            people,
            outcome=outcome,
            left_out=interview.left_out(),
            notes=notes,
        )


@dataclass
class _Output:
    """The two artifacts of a set."""

    workspace: Path
    config: ExtractConfig
    inputs: Mapping[str, str]

    def folder(self, kind: str) -> Path:
        return self.workspace / kind / self.config.set_name

    def recorded(self, *, complete: bool) -> dict[str, Any]:
        """The settings that shape the set, the model's identity among them."""
        model = identity(self.config)[0] if self.config.asks else None
        return {**self.config.recorded(), "model": model, "complete": complete}

    def current(self) -> Extracted | None:
        """What stands there, where a repetition would make the same; tags belong to the profiles beside them."""
        recorded, folder = self.recorded(complete=True), self.folder("profiles")
        if not artifacts.is_current(folder, profiles.KIND, config=recorded, inputs=self.inputs):
            return None
        if not artifacts.is_current(self.folder("tags"), TAGS, config=recorded, inputs=self.tag_inputs()):
            return None
        manifest = artifacts.peek(folder)
        assert manifest is not None, "it was found current"
        facts = manifest.facts
        return Extracted(self.config.set_name, facts["items"], facts.get("users", 0), skipped=True)

    def tag_inputs(self) -> dict[str, str]:
        """What the tag set is made from."""
        return {**self.inputs, "profiles": artifacts.fingerprint(self.folder("profiles"))}

    def check_identity(self) -> None:
        """Answers of another model, temperature or prompt are never replaced unasked."""
        there = artifacts.peek(self.folder("profiles"))
        if there is None:
            return
        ours = self.recorded(complete=True)
        for key in ("llm", "model", "temperature", "prompt"):
            if there.config.get(key) != ours.get(key):
                raise ConfigError(
                    f"the set {self.config.set_name!r} was made with {key} {there.config.get(key)!r}, this would be "
                    f"{ours.get(key)!r}; give the new set a name of its own with --name"
                )

    def write(
        self,
        split: Split,
        items: Iterator[ItemProfile],
        people: Iterator[UserProfile] | None = None,
        *,
        outcome: Outcome | None = None,
        left_out: Iterable[dict[str, str | None]] | None = None,
        notes: tuple[str, ...] = (),
    ) -> Extracted:
        """Stream the profiles to disk, make the tags of them, and seal both."""
        outcome = outcome or Outcome()
        recorded = self.recorded(complete=outcome.complete)
        encoder = self.config.merge_encoder
        with profiles.writing(self.folder("profiles"), config=recorded, inputs=self.inputs) as made:
            made.write_items(items)
            graph, report = taxonomy.build(
                made.items(),
                split.items,
                config=self.config.taxonomy(),
                encoder=None if encoder is None else make_encoder(encoder, fall_back=False),
            )
            if not len(graph.tag_items):
                raise DataError(f"no tag could be found: {_why(outcome, self.config)}")
            if people is not None:
                made.write_users(people)
            if left_out is not None:
                made.write_left_out(left_out)
            made.facts["without_profile"] = dict(outcome.reasons)
        graph.save(self.folder("tags"), config=recorded, inputs=self.tag_inputs(), report=report.document())
        return Extracted(
            self.config.set_name,
            made.facts["items"],
            made.facts.get("users", 0),
            report,
            outcome.examples,
            outcome.reasons,
            outcome.verdicts["unanswered"],
            notes,
            outcome.stopped,
        )


def _why(outcome: Outcome, config: ExtractConfig) -> str:
    if config.only == "users":
        return "this model was asked about no item yet; run the command without --only users first"
    for who, reason in outcome.examples.items():
        return f"{sum(outcome.reasons.values()):,} were left out, such as {who}: {reason}"
    return "the items have neither categories nor titles with shared words"
