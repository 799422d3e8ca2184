"""Profiles from a chat model: one call an item or user, one repair call where the answer is malformed.

Whoever is malformed twice, or refused, is left out and reported. User prompts are built from a split's *training*
interactions and from nothing else. Knows prompts, replies and the journal; does not know providers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from hyperllm.data.catalog import Catalog
from hyperllm.data.split import Split
from hyperllm.errors import MalformedReply, ProviderRefused
from hyperllm.extraction import parse
from hyperllm.extraction.journal import Journal
from hyperllm.extraction.profiles import ItemProfile, Origin, UserProfile
from hyperllm.extraction.prompts import Prompts, fingerprint, render
from hyperllm.llm.chat import ChatProvider, Message

Progress = Callable[[int, int], None]
Answer = TypeVar("Answer")


@dataclass
class Asked:
    """What came of many calls.

    ``left_out`` maps ``item X`` or ``user X`` to the reason, ``unusable`` are the journal's keys of malformed answers.
    """

    items: list[ItemProfile] = field(default_factory=list)
    users: list[UserProfile] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    unusable: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Interviewer:
    """Asks one model with one prompt version, and remembers finished answers."""

    chat: ChatProvider
    prompts: Prompts
    journal: Journal

    def items(self, catalog: Catalog, asked: Asked, *, limit: int | None, progress: Progress | None) -> None:
        """A profile for each of the first ``limit`` items that have a text."""
        wanted = [(i, t) for i, t in zip(catalog.items.ids, catalog.texts(), strict=True) if t][:limit]
        for number, (item_id, text) in enumerate(wanted, start=1):
            prompt = render(self.prompts.item, text)
            found = self._ask(f"item {item_id}", prompt, parse.read_item, parse.ITEM_SCHEMA, asked)
            if found is not None:
                (summary, tags, edges), origin = found
                asked.items.append(ItemProfile(item_id, summary, tags, edges, origin))
            if progress is not None:
                progress(number, len(wanted))

    def users(self, split: Split, asked: Asked, *, limit: int | None, progress: Progress | None) -> None:
        """A summary for each of the first ``limit`` users, from the profiles of their training items."""
        known = {profile.item_id: profile for profile in asked.items}
        wanted = [(user, text) for user, text in training_texts(split, known) if text][:limit]
        for number, (user_id, text) in enumerate(wanted, start=1):
            prompt = render(self.prompts.user, text)
            found = self._ask(f"user {user_id}", prompt, parse.read_user, parse.USER_SCHEMA, asked)
            if found is not None:
                asked.users.append(UserProfile(user_id, *found))
            if progress is not None:
                progress(number, len(wanted))

    def _ask(
        self,
        who: str,
        prompt: str,
        read: Callable[[str], Answer],
        schema: Mapping[str, Any],
        asked: Asked,
    ) -> tuple[Answer, Origin] | None:
        key = fingerprint(f"{self.chat.name}\n{self.prompts.version}\n{prompt}")
        try:
            stored = self.journal[key] if key in self.journal else self._call(key, prompt, read, schema)
            return read(stored["raw"]), Origin(**stored)
        except MalformedReply as error:
            asked.unusable.add(key)
            asked.left_out[who] = str(error)
        except ProviderRefused as error:
            asked.left_out[who] = str(error)
        return None

    def _call(self, key: str, prompt: str, read: Callable[[str], Any], schema: Mapping[str, Any]) -> dict[str, Any]:
        messages: Sequence[Message] = [Message("user", prompt)]
        reply = self.chat.complete(messages, schema=schema)
        spent = [reply.input_tokens, reply.output_tokens]
        try:
            read(reply.text)
        except MalformedReply as reason:
            form = f"one JSON object of this schema and nothing else: {json.dumps(schema)}"
            again = f"That answer cannot be used: {reason}. Answer again with {form}"
            messages = [*messages, Message("assistant", reply.text), Message("user", again)]
            reply = self.chat.complete(messages, schema=schema)
            spent = [spent[0] + reply.input_tokens, spent[1] + reply.output_tokens]
        value = {
            "model": self.chat.name,
            "prompt_version": self.prompts.version,
            "prompt_hash": fingerprint(prompt),
            "input_tokens": spent[0],
            "output_tokens": spent[1],
            "raw": reply.text.encode("utf-8", "replace").decode("utf-8"),
        }
        self.journal.add(key, value)
        return value


def training_texts(split: Split, profiles: Mapping[str, ItemProfile]) -> list[tuple[str, str]]:
    """(user id, summaries and tags of the user's training items, one a line), in vocabulary order."""
    matrix = split.train.matrix(len(split.users), len(split.items))
    found: list[tuple[str, str]] = []
    for row, user in enumerate(split.users.ids):
        items = matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]]
        told = [profiles[i] for i in split.items.take(items) if i in profiles]
        lines = [f"Summary: {p.summary} Tags: {', '.join(n for names in p.tags for n in names)}" for p in told]
        found.append((user, "\n".join(lines)))
    return found
