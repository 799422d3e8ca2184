"""Deterministic, valid answers made from the prompt's own text, for trying the pipeline without a model.

With a script, a file of JSON lines ``{"match": "words of the prompt", "answer": …}``, the first line whose words occur
in a prompt's last message answers it; the rest is answered as without a script.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hyperllm.errors import ConfigError
from hyperllm.extraction.untrusted import as_text
from hyperllm.extraction.words import distinct, fold
from hyperllm.llm.chat import Message, ScriptedChat

_WORD = re.compile(r"[^\W\d_]{3,40}")
_MARKS = re.compile(r"</?items?>")


def scripted() -> ScriptedChat:
    """A chat model that answers every item and user prompt of any version."""
    return ScriptedChat(answer)


def scripted_from(path: Path) -> ScriptedChat:
    """A chat model with a script; raises `ConfigError` where the file is none."""
    lines = _lines(path)

    def script(messages: Sequence[Message]) -> str:
        told = messages[-1].content
        for match, said in lines:
            if match in told:
                return said
        return answer(messages)

    return ScriptedChat(script)


def _lines(path: Path) -> list[tuple[str, str]]:
    try:
        found: list[Any] = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        return [(_text(line["match"]), _text(line["answer"])) for line in found]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f'{str(path)!r} is no script: expected JSON lines {{"match": …, "answer": …}}; found {error!r}'
        ) from None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def answer(messages: Sequence[Message]) -> str:
    """A valid answer to an item's or a user's prompt, in the form that the prompt asks for; the same to a repair."""
    asked = " ".join(message.content for message in messages if message.role == "system")
    told = next((message.content for message in messages if message.role == "user"), messages[-1].content)
    text = _MARKS.sub(" ", told).strip().rsplit("\n\n", 1)[-1]
    body = " ".join((text.partition("Information:")[2] or text).split())
    words = list(distinct([word.lower() for word in _WORD.findall(body)])) or ["thing"]
    summary = body[:200] if fold(as_text(body[:200])) else words[0]
    if '"tags"' in asked:
        return json.dumps({"summary": summary, "tags": [_tree(words)]})
    if '"level_1"' not in asked:
        return json.dumps({"summary": f"Likes {', '.join(words[:12])}."})
    first, second, third = words[:1], words[1:2], words[2:4]
    edges = [[a, b] for a, b in zip(first, second, strict=False)] + [[second[0], c] for c in third if second]
    levels = {"level_1": first, "level_2": second, "level_3": third}
    return json.dumps({"summary": summary, **levels, "edges": edges})


def _tree(words: Sequence[str]) -> dict[str, Any]:
    return {"name": words[0], "children": [{"name": word, "children": list(words[2:4])} for word in words[1:2]]}
