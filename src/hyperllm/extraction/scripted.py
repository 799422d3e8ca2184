"""Deterministic, valid answers made from the prompt's own text, for trying the pipeline without a model."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from hyperllm.extraction.words import distinct
from hyperllm.llm.chat import Message, ScriptedChat

_WORD = re.compile(r"[^\W\d_]{3,}")


def scripted() -> ScriptedChat:
    """A chat model that answers every item and user prompt of any version."""
    return ScriptedChat(_answer)


def _answer(messages: Sequence[Message]) -> str:
    text = messages[-1].content.rstrip().rsplit("\n\n", 1)[-1]
    body = text.partition(":")[2].strip() or text
    words = list(distinct([word.lower() for word in _WORD.findall(body)])) or ["thing"]
    if "level tags" not in messages[0].content and "level_1" not in messages[0].content:
        return json.dumps({"summary": f"Likes {', '.join(words[:12])}."})
    first, second, third = words[:1], words[1:2], words[2:4]
    edges = [[a, b] for a, b in zip(first, second, strict=False)] + [[second[0], c] for c in third if second]
    levels = {"level_1": first, "level_2": second, "level_3": third}
    return json.dumps({"summary": body[:200], **levels, "edges": edges})
