"""A language model that runs in the workers themselves: ``vllm:MODEL``, through ``ray.data.llm``.

The engine takes requests by the thousand and orders them by itself, so nothing here is awaited one by one: of a block
of questions the open ones are put on record together, go through vLLM, and their replies are written together. Repairs
are a second pass over what the first left open. A worker that dies costs its blocks' generations, which cost time and
no money. Knows the engine's requests and answers. Does not know what a question says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hyperllm.extraction.ask import Asker, Question, complaint, repair
from hyperllm.extraction.config import ExtractConfig
from hyperllm.extraction.interview import identity
from hyperllm.extraction.prompts import Prompts
from hyperllm.llm.chat import ChatProvider, Message, Reply
from hyperllm.scale.blocks import rows_of
from hyperllm.scale.book import Answered, Failed, Judged, Known, News
from hyperllm.scale.cluster import Cluster, data_of_ray

TURNS = (1, 2)
FAULT = "__inference_error__"
"""Where Ray puts why a row has no answer."""


@dataclass(frozen=True)
class Engine:
    """The model of a config, and how its questions become requests and its answers replies."""

    config: ExtractConfig

    @cached_property
    def asker(self) -> Asker:
        """Makes the questions."""
        return Asker(*identity(self.config), Prompts.load(self.config.prompt), self.config.set_name, _nobody)

    def question(self, row: Mapping[str, Any]) -> Question[Any]:
        """The question of a row of a block."""
        return (self.asker.item if row["kind"] == "item" else self.asker.user)(row["about"], row["text"])

    def request(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """What the engine is handed for a row with its messages as JSON; its other columns travel along."""
        sampling = {
            "temperature": self.config.temperature,
            "max_tokens": self.config.max_tokens,
            "structured_outputs": {"json": json.dumps(self.question(row).schema)},
        }
        return {**row, "messages": json.loads(row["asked"]), "sampling_params": sampling}

    def answer(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """What is kept of an engine's answer."""
        kept = {name: row[name] for name in ("kind", "about", "key", "text", "row")}
        return {
            **kept,
            "reply": str(row.get("generated_text") or ""),
            "input_tokens": int(row.get("num_input_tokens") or 0),
            "output_tokens": int(row.get("num_generated_tokens") or 0),
            "fault": str(row.get(FAULT) or ""),
        }

    def reply(self, row: Mapping[str, Any]) -> Reply:
        """The reply of a row of `answer`; one of the greatest length was cut."""
        cut = row["output_tokens"] >= self.config.max_tokens
        return Reply(row["reply"], row["input_tokens"], row["output_tokens"], cut=cut)


def ask_engine(paths: Sequence[Path], config: ExtractConfig, cluster: Cluster, book: Any) -> list[pa.Table]:
    """Ask every question of these blocks, and repair; whose they were, for the caller to look up how they ended."""
    data = data_of_ray()
    from ray.data.llm import build_processor, vLLMEngineProcessorConfig

    engine = Engine(config)
    settings = vLLMEngineProcessorConfig(
        model_source=config.llm.partition(":")[2],
        engine_kwargs={"max_model_len": config.chat().context},
        concurrency=cluster.gpus,
        should_continue_on_error=True,
    )
    through: Any = build_processor(settings, preprocess=engine.request, postprocess=engine.answer)
    for turn in TURNS:
        blocks = data.from_items([{"path": str(path)} for path in paths], override_num_blocks=len(paths))
        asked = blocks.map_batches(OnRecord(engine, book, turn), batch_size=None, batch_format="pyarrow")
        answers = through(asked).map_batches(Written(engine, book, turn), batch_size=None, batch_format="pyarrow")
        for _ in answers.iter_batches(batch_size=None):
            pass
    return [pq.read_table(path, columns=["kind", "about", "key"]) for path in paths]


def _nobody() -> ChatProvider:
    raise AssertionError("an engine is not asked one by one")


@dataclass(frozen=True)
class OnRecord:
    """Puts the open questions of a block on record for their first ``turn``, or the second where the first failed."""

    engine: Engine
    book: Any
    turn: int

    def __call__(self, paths: pa.Table) -> pa.Table:
        """One row a question to ask: what the block holds, ``row`` in the ledger, and messages ``asked`` as JSON."""
        return pa.Table.from_pylist([row for rows in rows_of(paths) for row in self._open(rows)], schema=ASKED)

    def _open(self, rows: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        known: list[Known] | None = self.book.ask("lease", [(row["key"], row["about"]) for row in rows])
        for row, found in zip(rows, known or (), strict=known is not None):
            if found.verdict is None and not found.elsewhere:
                question = self.engine.question(row)
                messages = self._messages(question, {turn: stored.reply for turn, stored in found.replies.items()})
                if messages is not None:
                    number = self.book.ask("begin", self.engine.asker.call(question, self.turn), 0.0)
                    said = json.dumps([{"role": m.role, "content": m.content} for m in messages])
                    yield {**row, "row": number, "asked": said}

    def _messages(self, question: Question[Any], replies: Mapping[int, Reply]) -> Sequence[Message] | None:
        """What to send; None where this turn has its reply, or needs one that never came."""
        if self.turn in replies:
            return self._again(question, replies[self.turn])
        if self.turn == 1:
            return question.messages
        if 1 not in replies:
            return None
        problem = complaint(question, replies[1])
        return None if problem is None else repair(question, replies[1], problem)

    def _again(self, question: Question[Any], reply: Reply) -> None:
        """A reply that nobody judged, since its worker died."""
        self.book.ask("tell", judged(self.engine, question, reply, self.turn))


@dataclass(frozen=True)
class Written:
    """Writes the answers of a block."""

    engine: Engine
    book: Any
    turn: int

    def __call__(self, answers: pa.Table) -> pa.Table:
        """How many they were."""
        news = [one for row in answers.to_pylist() for one in self._news(row)]
        self.book.ask("tell", news)
        return pa.table({"answers": [len(answers)]})

    def _news(self, row: Mapping[str, Any]) -> Iterator[News]:
        question = self.engine.question(row)
        if row["fault"]:
            yield Failed(row["row"], row["fault"], 0.0)
            yield Judged(self.engine.asker.call(question, 1), "unanswered", row["fault"])
            return
        reply = self.engine.reply(row)
        yield Answered(row["row"], reply, 0.0, 0.0)
        yield from judged(self.engine, question, reply, self.turn)


ASKED = pa.schema(
    {
        **{name: pa.string() for name in ("kind", "about")},
        "key": pa.binary(),
        **{name: pa.string() for name in ("text", "asked")},
        "row": pa.int64(),
    }
)


def judged(engine: Engine, question: Question[Any], reply: Reply, turn: int) -> list[News]:
    """The end of a question, where this turn's reply is one: a bad first one is repaired."""
    problem = complaint(question, reply)
    if problem is not None and turn < max(TURNS):
        return []
    return [Judged(engine.asker.call(question, 1), "done" if problem is None else "quarantined", problem)]
