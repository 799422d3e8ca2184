"""The settings of the extract stage.

Knows every option with its default, which of them shape the result (and so decide whether a set is current), and the
named presets. Does not know how anything is done.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass

from hyperllm.config import SETTINGS, build
from hyperllm.data.sets import IMPORTED, NONE
from hyperllm.errors import ConfigError, choose
from hyperllm.extraction import keywords
from hyperllm.extraction.prompts import DEFAULT, VERSIONS
from hyperllm.extraction.taxonomy import TaxonomyConfig
from hyperllm.llm.chats import GGUF, OPENAI, VLLM, ChatOptions, folder_name
from hyperllm.llm.encoders import ENCODERS, SENTENCE_TRANSFORMERS

SCRIPTED = "scripted"
RULES = 2
"""Number of the rules by which profiles and tags are made from answers; counted up when they change."""


@dataclass(frozen=True, config=SETTINGS)
class ExtractConfig:
    """What `hyperllm extract` is asked for."""

    llm: str = keywords.NAME
    """``keywords`` (no language model), ``openai:MODEL`` (any OpenAI-compatible server), ``gguf:FILE``, ``scripted``,
    ``scripted:FILE``, or on a cluster ``vllm:MODEL``."""
    name: str | None = None
    """Name of the profile and tag sets; none: after the model, and the prompt version where it is not the default."""
    prompt: str = DEFAULT
    """Prompt version."""
    only: Literal["items", "users"] | None = None
    """Ask about items only (no user history leaves this machine), or about users only."""
    limit: PositiveInt | None = None
    """Only the first so many items and users."""
    limit_users: PositiveInt | None = None
    """Only the first so many users; none: as ``limit``."""
    base_url: str | None = None
    """Address of the server, usually ending in /v1; none: ``$OPENAI_BASE_URL``, else OpenAI."""
    workers: PositiveInt = 8
    """Calls on their way at once, at most."""
    budget: NonNegativeFloat | None = None
    """US dollars that this set may have cost in all when asking stops."""
    price: str | None = None
    """Dollars for a million tokens in and out, ``0.15,0.60``; none: what genai-prices says."""
    calls_per_minute: PositiveFloat | None = None
    """Rate limit of calls."""
    tokens_per_minute: PositiveFloat | None = None
    """Rate limit of tokens, in and out together."""
    max_tokens: PositiveInt = 1024
    """Longest answer."""
    temperature: NonNegativeFloat = 0.0
    """Of the model; 0 asks for its most likely answer."""
    timeout: PositiveFloat = 120.0
    """Seconds to wait for an answer."""
    threads: PositiveInt | None = None
    """Processor threads of a ``gguf`` model; none: half of the processors."""
    history_characters: PositiveInt = 6000
    """Longest text about one user (about a quarter as many tokens); of a longer history as many items as fit."""
    batch: bool = False
    """Use the Batch API of the server: half the price, answers within a day."""
    batch_size: PositiveInt = 20_000
    """Requests of one batch, at most."""
    poll: PositiveFloat = 30.0
    """Seconds between two looks at a batch."""
    retry: bool = False
    """Ask again what is quarantined."""
    merge_forms: bool = True
    """Merge tags that differ in hyphens, ``&`` and ``and``, or number, where both forms occur."""
    merge_encoder: str | None = None
    """Text encoder whose vectors decide which tags of a level mean the same; none: words alone decide."""
    merge_similarity: float | None = None
    """Cosine from which on ``merge_encoder`` merges two tags; 0.9 where an encoder is named."""
    hub_share: float | None = 0.8
    """Share of the items above which a tag loses its items, since it tells nothing; none: never."""

    def __post_init__(self) -> None:
        if not (self.llm in (keywords.NAME, SCRIPTED) or self.llm.startswith((OPENAI, GGUF, VLLM, f"{SCRIPTED}:"))):
            choose(
                self.llm,
                dict.fromkeys((keywords.NAME, SCRIPTED, "openai:MODEL", "gguf:FILE", "vllm:MODEL")),
                what="extractor",
            )
        choose(self.prompt, dict.fromkeys(VERSIONS), what="prompt version")
        if self.set_name in (IMPORTED, NONE) or not re.fullmatch(r"[^./\\:][^/\\:]*", self.set_name):
            raise ConfigError(f"a set needs a plain name other than {IMPORTED!r} and {NONE!r}; found {self.set_name!r}")
        for share in (self.merge_similarity, self.hub_share):
            if share is not None and not 0 < share <= 1:
                raise ConfigError(f"merge_similarity and hub_share lie above 0 and at most at 1; found {share:g}")
        if self.merge_encoder is not None and not self.merge_encoder.startswith(SENTENCE_TRANSFORMERS):
            choose(self.merge_encoder, ENCODERS, what="encoder")
        if self.merge_similarity is not None and self.merge_encoder is None:
            raise ConfigError("merge_similarity needs a text encoder; name it with merge_encoder")
        if self.batch and not self.llm.startswith(OPENAI):
            raise ConfigError(f"only openai:MODEL has a Batch API; found {self.llm!r}")

    @property
    def asks(self) -> bool:
        """Whether a model is asked at all."""
        return self.llm != keywords.NAME

    @property
    def set_name(self) -> str:
        """Name of the sets that are written."""
        if self.name is not None:
            return self.name
        name = self.llm if self.llm in (keywords.NAME, SCRIPTED) else folder_name(self.llm)
        if self.llm.startswith(f"{SCRIPTED}:"):
            name = folder_name(f"{SCRIPTED}-{Path(self.llm.removeprefix(f'{SCRIPTED}:')).stem}")
        return name if self.prompt == DEFAULT or not self.asks else f"{name}-{self.prompt}"

    def chat(self) -> ChatOptions:
        """How the model is reached."""
        return ChatOptions(
            base_url=self.base_url,
            workers=self.workers,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            timeout_s=self.timeout,
            threads=self.threads,
            context=max(4096, 1024 + self.max_tokens + self.history_characters // 2),
        )

    def taxonomy(self) -> TaxonomyConfig:
        """How tags become one graph."""
        similarity = self.merge_similarity if self.merge_encoder is None else self.merge_similarity or 0.9
        return TaxonomyConfig(self.merge_forms, similarity, self.hub_share)

    def recorded(self) -> dict[str, Any]:
        """The settings that shape profiles and tags, as a JSON object."""
        graph = {key: getattr(self, key) for key in ("merge_forms", "merge_encoder", "merge_similarity", "hub_share")}
        asked = ("prompt", "only", "limit_users", "temperature", "history_characters")
        return {
            "llm": self.llm,
            "limit": self.limit,
            "rules": RULES,
            **{key: getattr(self, key) for key in asked if self.asks},
            **graph,
        }


EXTRACT_PRESETS: dict[str, Mapping[str, Any]] = {
    "default": {},
    "paper": {"llm": "openai:meta-llama/Meta-Llama-3-8B-Instruct", "prompt": "paper", "hub_share": None,
              "merge_forms": False},
}  # fmt: skip
"""``paper``: LLaMA3-8B (served by whatever ``base_url`` names) with the prompts of §4.1, tags as they come."""


def extract_config(values: Mapping[str, Any]) -> ExtractConfig:
    """Settings from a file or the command line; ``preset`` names a start, None means not given."""
    given = {key: value for key, value in values.items() if value is not None}
    preset = choose(str(given.pop("preset", "default")), EXTRACT_PRESETS, what="preset")
    (config,) = build([ExtractConfig], {**preset, **given})
    return config


def options() -> set[str]:
    """What a file may say of this stage."""
    return {field.name for field in fields(ExtractConfig)} | {"preset"}
