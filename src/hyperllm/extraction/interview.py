"""One model, one workspace: which questions there are, asking them, and finding their answers again.

Items first, from the catalogue's text; then users, from the profiles of their training items. Of each question only the
hash is kept, 32 bytes an item or user, so memory does not grow with texts or replies. Knows nothing of artifacts.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from hyperllm import artifacts
from hyperllm.data.split import Split
from hyperllm.errors import ConfigError
from hyperllm.extraction import ask, users
from hyperllm.extraction.ask import Asker, Asking, Outcome, Progress, Question, answered
from hyperllm.extraction.batches import run_batches
from hyperllm.extraction.config import SCRIPTED, ExtractConfig
from hyperllm.extraction.items import described, item_texts
from hyperllm.extraction.profiles import ItemProfile, UserProfile
from hyperllm.extraction.prompts import Prompts
from hyperllm.extraction.scripted import scripted, scripted_from
from hyperllm.ids import Rows, Vocabulary
from hyperllm.llm.caller import Budget, Caller
from hyperllm.llm.chat import ChatProvider
from hyperllm.llm.chats import make_chat, model_name, price_of
from hyperllm.llm.gate import Gate
from hyperllm.llm.ledger import Ledger
from hyperllm.llm.prices import Price

Keys: TypeAlias = npt.NDArray[np.uint8]
"""(n, 32): the hash of each item's or user's question, zero where there is none."""
REMEMBERED = 20_000
"""Items' entries kept in memory while user prompts are written."""


class Interview:
    """One model asked about one workspace; makes the questions, and finds their answers again."""

    def __init__(
        self,
        workspace: Path,
        config: ExtractConfig,
        split: Split,
        ledger: Ledger,
        progress: Progress | None,
        asking: Asking = ask.run,
    ) -> None:
        self.workspace = workspace
        self.config = config
        self.split = split
        self.ledger = ledger
        self.progress = progress
        self.asking = asking
        self.prompts = Prompts.load(config.prompt)
        self.price: Price | None = price_of(config.llm, config.chat(), given=config.price, batch=config.batch)
        if config.budget is not None and self.price is None:
            raise ConfigError(
                f"nobody knows the price of {config.llm!r}, so a budget cannot be kept; give it with --price IN,OUT "
                "(dollars for a million tokens)"
            )
        self.asker = Asker(*identity(config), self.prompts, config.set_name, lambda: chat_of(config))
        self.dropped = 0
        self.silent_users = 0
        self.withheld = False
        """Whether users wait for items that got no answer: their prompts would change, and be paid for twice."""
        self._described = described(workspace, split.items)
        self._item_keys: Keys = np.zeros((len(split.items), 32), dtype=np.uint8)
        self._user_keys: Keys = np.zeros((len(split.users), 32), dtype=np.uint8)
        self._told: OrderedDict[str, str | None] = OrderedDict()

    def ask(self) -> Outcome:
        """Ask what is open: items first, then users, as far as the settings and the budget go."""
        config, outcome = self.config, Outcome()
        if config.only != "users":
            outcome.add_all(self._ask("item", self.item_questions(), self.count_items()))
        _drain(self.item_questions() if config.only == "users" else ())
        if outcome.verdicts["unanswered"] and config.only is None:
            self.withheld = True
            _drain(self.user_questions())
        elif config.only != "items" and outcome.stopped is None:
            outcome.add_all(self._ask("user", self.user_questions(), self.count_users()))
        elif any(tally.kind == "user" for tally in self.ledger.tallies() if tally.series == config.set_name):
            _drain(self.user_questions())
        return outcome

    @property
    def has_users(self) -> bool:
        """Whether anybody was ever asked about users."""
        return self.config.only != "items" or bool(self._user_keys.any())

    def _ask(self, kind: str, questions: Iterator[Question[Any]], total: int) -> Outcome:
        spent = self.ledger.spent_usd(self.config.set_name)
        self.ledger.want(self.config.set_name, kind, total, None if self.price is None else self.price.source)
        gate = Gate(
            self.config.workers,
            calls_per_minute=self.config.calls_per_minute,
            tokens_per_minute=self.config.tokens_per_minute,
        )
        budget = Budget(self.config.budget, spent)
        caller = Caller(self.ledger, gate, price=self.price, budget=budget)
        outcome = self._answers(caller, questions, total)
        _drain(questions)
        self.ledger.ended(self.config.set_name, kind, outcome.verdicts)
        return outcome

    def _answers(self, caller: Caller, questions: Iterator[Question[Any]], total: int) -> Outcome:
        if self.config.batch:
            poll_s, size = self.config.poll, self.config.batch_size
            return run_batches(
                caller, self.asker, questions, total=total, progress=self.progress, poll_s=poll_s, size=size
            )
        return self.asking(caller, self.asker, questions, total=total, progress=self.progress)

    def item_questions(self) -> Iterator[Question[Any]]:
        """One question an item that has a text; its hash is noted, so that it can be found without the text."""
        texts = item_texts(self.workspace, self.split.items, join=self.prompts.join)
        for item, text in islice(texts, self.config.limit):
            question = self.asker.item(item, text)
            self._note(self._item_keys, self.split.items, question)
            yield question

    def user_questions(self) -> Iterator[Question[Any]]:
        """One question a user of whose training items something is known."""
        return islice(self._user_questions(), self.user_limit)

    def _user_questions(self) -> Iterator[Question[Any]]:
        self.dropped = self.silent_users = 0
        for user, rows in users.histories(self.split.train, self.split.users):
            question = self.user_question(user, rows)
            if question is None:
                self.silent_users += 1
            else:
                yield question

    def user_question(self, user: str, rows: Rows) -> Question[str] | None:
        """The question about a user with these training items; None where nothing is known of any of them."""
        items, join = self.split.items.take(rows), self.prompts.join
        text, dropped = users.history_text(user, items, self._entry, join=join, limit=self.config.history_characters)
        self.dropped += dropped > 0
        if not text:
            return None
        question = self.asker.user(user, text)
        self._note(self._user_keys, self.split.users, question)
        return question

    def item_profiles(self) -> Iterator[ItemProfile]:
        """Every item with a good answer."""
        for item, key in _noted(self.split.items, self._item_keys):
            if (profile := self._item_profile(item, key)) is not None:
                yield profile

    def _item_profile(self, item: str, key: bytes) -> ItemProfile | None:
        found = answered(self.ledger, self.asker, key, ask.read_item)
        if found is None:
            return None
        answer, origin = found
        return ItemProfile(item, answer.summary, answer.tags, answer.edges, origin)

    def user_profiles(self) -> Iterator[UserProfile]:
        """Every user with a good answer."""
        for user, key in _noted(self.split.users, self._user_keys):
            if (found := answered(self.ledger, self.asker, key, ask.read_user)) is not None:
                yield UserProfile(user, *found)

    def left_out(self) -> Iterator[dict[str, str | None]]:
        """Every item and user that was asked about and has no profile, and why."""
        for kind, whose, keys in (
            ("item", self.split.items, self._item_keys),
            ("user", self.split.users, self._user_keys),
        ):
            for about, key in _noted(whose, keys):
                verdict, reason = self.ledger.verdict(key) or ("not asked", None)
                if verdict != "done":
                    yield {"kind": kind, "id": about, "verdict": verdict, "reason": reason}

    def _note(self, keys: Keys, whose: Vocabulary, question: Question[Any]) -> None:
        keys[whose.row(question.about)] = np.frombuffer(question.key, dtype=np.uint8)

    def _entry(self, item: str) -> str | None:
        """The line about an item in a user's prompt; None where it has no profile."""
        if item not in self._told:
            key = self._item_keys[self.split.items.row(item)].tobytes()
            profile = self._item_profile(item, key) if any(key) else None
            self._told[item] = None if profile is None else users.entry(profile)
            if len(self._told) > REMEMBERED:
                self._told.popitem(last=False)
        self._told.move_to_end(item)
        return self._told[item]

    def count_items(self) -> int:
        """Items to ask about."""
        return min(self._described, self.config.limit or self._described)

    def count_users(self) -> int:
        """Users to ask about, at most."""
        total = len(np.unique(self.split.train.user))
        return min(total, self.user_limit or total)

    @property
    def user_limit(self) -> int | None:
        """Users to ask about at most; None: all."""
        return self.config.limit_users or self.config.limit

    def notes(self, again: int) -> Iterator[str]:
        """What a person should know of this interview."""
        if self.ledger.lost:
            yield f"{self.ledger.lost:,} calls were on their way when an earlier run was killed; they were asked again"
        if again:
            yield f"{again:,} questions without a good answer were opened again"
        if self.dropped:
            yield f"{self.dropped:,} users have more items than fit; a fixed choice of them was shown"
        if self.withheld:
            yield "users were not asked about: some items got no answer; repeat the command, or say --only users"
        if self.silent_users:
            yield f"{self.silent_users:,} users have no training item with a profile and were not asked about"
        without = len(self.split.items) - self._described
        if without:
            yield f"{without:,} items have no text and were not asked about"


def identity(config: ExtractConfig) -> tuple[str, Mapping[str, Any]]:
    """Name and settings of the model that a config names, without reaching for it."""
    if config.llm == SCRIPTED:
        return SCRIPTED, {}
    if config.llm.startswith(SCRIPTED):
        return f"{SCRIPTED}:{artifacts.file_digest(script_of(config))[:12]}", {}
    return model_name(config.llm), {"temperature": config.temperature}


def script_of(config: ExtractConfig) -> Path:
    """The file of ``scripted:FILE``."""
    path = Path(config.llm.partition(":")[2]).expanduser()
    if not path.is_file():
        raise ConfigError(f"{str(path)!r} is no script: there is no such file")
    return path


def chat_of(config: ExtractConfig) -> ChatProvider:
    """The chat model that a config names."""
    if config.llm == SCRIPTED:
        return scripted()
    if config.llm.startswith(SCRIPTED):
        return scripted_from(script_of(config))
    return make_chat(config.llm, config.chat())


def _noted(whose: Vocabulary, keys: Keys) -> Iterator[tuple[str, bytes]]:
    for row in np.flatnonzero(keys.any(axis=1)):
        yield whose.ids[row], keys[row].tobytes()


def _drain(questions: Iterable[Any]) -> None:
    for _ in questions:
        pass
