"""What an extraction would cost, before anything is sent.

Counts the questions that are still open, by the same code that asks them. Tokens are estimated from bytes; what
answers, repairs and waiting will take is the mean of what this set has in the ledger, or an assumption, and it is said
which.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from hyperllm.data.prepare import load_split
from hyperllm.errors import ConfigError
from hyperllm.extraction import users
from hyperllm.extraction.config import ExtractConfig
from hyperllm.extraction.interview import Interview
from hyperllm.llm.chat import estimated_tokens
from hyperllm.llm.ledger import NAME as LEDGER
from hyperllm.llm.ledger import Ledger, Tally
from hyperllm.llm.prices import Price

ASSUMED_OUTPUT = {"item": 200, "user": 70}
"""Tokens of an answer: a summary of the paper has 54."""
ASSUMED_ENTRY = 320
"""Characters of one item in a user's prompt."""
ASSUMED_REPAIRS = 0.05
ASSUMED_LATENCY_S = 3.0


@dataclass(frozen=True)
class Line:
    """What is still to be done about one kind."""

    kind: str
    open: int
    calls: int
    input_tokens: int
    output_tokens: int
    price_usd: float | None
    elapsed_s: float
    measured: bool


@dataclass(frozen=True)
class Estimate:
    """The lines, by which price they are counted, and what was spent before."""

    lines: tuple[Line, ...]
    price: Price | None
    spent_usd: float

    def document(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "calls": sum(line.calls for line in self.lines),
            "input_tokens": sum(line.input_tokens for line in self.lines),
            "output_tokens": sum(line.output_tokens for line in self.lines),
            "price_usd": self._dollars(),
            "elapsed_s": sum(line.elapsed_s for line in self.lines),
            "spent_usd": self.spent_usd,
            "price": None if self.price is None else self.price.document(),
            "kinds": [asdict(line) for line in self.lines],
        }

    def _dollars(self) -> float | None:
        return None if self.price is None else sum(line.price_usd or 0.0 for line in self.lines)

    def text(self) -> str:
        """As plain lines."""
        told = [
            f"{line.kind}s: {line.open:,} open, about {line.calls:,} calls, {line.input_tokens:,} tokens in, "
            f"{line.output_tokens:,} out, {_duration(line.elapsed_s)}"
            f"{'' if line.measured else ' (assumed: nothing was asked yet)'}"
            for line in self.lines
        ]
        if self.price is None:
            return "\n".join([*told, "nobody knows the price; give it with --price IN,OUT"])
        costs = f"about ${self._dollars():,.2f} more, ${self.spent_usd:,.2f} spent so far"
        per = f"${self.price.input_per_million:g} in, ${self.price.output_per_million:g} out a million tokens"
        return "\n".join([*told, f"{costs} ({per}: {self.price.source})"])


def estimate(workspace: Path, config: ExtractConfig) -> Estimate:
    """What `extract` with the same settings would send; needs no key, and sends nothing."""
    if not config.asks:
        raise ConfigError(f"{config.llm!r} asks no model and costs nothing")
    path = workspace / LEDGER
    with Ledger.read(path) as found:
        if found is None:
            with Ledger.in_memory() as empty:
                return _estimate(workspace, config, empty)
        return _estimate(workspace, config, found)


def _estimate(workspace: Path, config: ExtractConfig, ledger: Ledger) -> Estimate:
    interview = Interview(workspace, config, load_split(workspace), ledger, None)
    known = {tally.kind: tally for tally in ledger.tallies() if tally.series == config.set_name}
    lines: list[Line] = []
    open_rows: set[int] = set()
    prompts: list[int] = []
    for question in interview.item_questions():
        if _open(interview, question.key):
            open_rows.add(interview.split.items.row(question.about))
            prompts.append(_prompt(question.messages))
    if config.only != "users":
        lines.append(_line("item", prompts, known.get("item"), interview))
    if config.only != "items":
        unknown = open_rows if config.only is None else set[int]()
        lines.append(_line("user", list(_user_prompts(interview, unknown)), known.get("user"), interview))
    return Estimate(tuple(lines), interview.price, ledger.spent_usd(config.set_name))


def _user_prompts(interview: Interview, unknown: set[int]) -> Iterator[int]:
    """Tokens of each open user prompt; where items of the history are unanswered yet, by the number of its items."""
    frame = _prompt(interview.prompts.user.messages(""))
    longest = interview.config.history_characters
    people = users.histories(interview.split.train, interview.split.users)
    for user, rows in islice(people, interview.user_limit):
        if not unknown.isdisjoint(rows.tolist()):
            yield frame + min(longest, len(rows) * ASSUMED_ENTRY) // 4
            continue
        question = interview.user_question(user, rows)
        if question is not None and _open(interview, question.key):
            yield _prompt(question.messages)


def _open(interview: Interview, key: bytes) -> bool:
    verdict = interview.ledger.verdict(key)
    return verdict is None or verdict[0] == "unanswered" or (interview.config.retry and verdict[0] != "done")


def _prompt(messages: Any) -> int:
    return sum(estimated_tokens(message.content) for message in messages)


def _line(kind: str, prompts: list[int], known: Tally | None, interview: Interview) -> Line:
    measured = known is not None and known.answered > 0
    count = len(prompts)
    repairs = known.repairs / max(1, known.answered) if known and measured else ASSUMED_REPAIRS
    output = known.output_tokens / known.answered if known and measured else ASSUMED_OUTPUT[kind]
    latency = known.latency_s if known and known.latency_s is not None else ASSUMED_LATENCY_S
    calls = round(count * (1 + repairs))
    tokens_in, tokens_out = round(sum(prompts) * (1 + repairs)), round(calls * output)
    config = interview.config
    elapsed = 86_400.0 if config.batch and calls else calls * latency / config.workers
    if config.calls_per_minute:
        elapsed = max(elapsed, 60 * calls / config.calls_per_minute)
    if config.tokens_per_minute:
        elapsed = max(elapsed, 60 * (tokens_in + tokens_out) / config.tokens_per_minute)
    price = interview.price
    cost = None if price is None else price.of(tokens_in, tokens_out)
    return Line(kind, count, calls, tokens_in, tokens_out, cost, elapsed, measured)


def _duration(seconds: float) -> str:
    if seconds == 86_400:
        return "within a day"
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"about {seconds / size:,.0f} {unit}"
    return f"about {seconds:,.0f} seconds"
