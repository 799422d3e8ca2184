"""Profiles of items that come after the extract stage, from a language model.

Knows the workspace's ledger, so that a question is paid for once here as everywhere. Writes no profile set and no tag
set: what stands was trained on.
"""

from __future__ import annotations

from pathlib import Path

from hyperllm.data.catalog import Catalog
from hyperllm.extraction import ask
from hyperllm.extraction.ask import Asker, Outcome, Progress, answered
from hyperllm.extraction.config import ExtractConfig
from hyperllm.extraction.interview import chat_of, identity
from hyperllm.extraction.items import item_text
from hyperllm.extraction.profiles import ItemProfile
from hyperllm.extraction.prompts import Prompts
from hyperllm.llm.caller import Budget, Caller
from hyperllm.llm.chats import price_of
from hyperllm.llm.gate import Gate
from hyperllm.llm.ledger import NAME as LEDGER
from hyperllm.llm.ledger import Ledger


def later_profiles(
    workspace: Path, config: ExtractConfig, new: Catalog, *, progress: Progress | None = None
) -> tuple[dict[str, ItemProfile], Outcome]:
    """A profile by item id for each row of ``new`` that has a text and got a good answer, and how asking went."""
    prompts = Prompts.load(config.prompt)
    price = price_of(config.llm, config.chat(), given=config.price, batch=False)
    asker = Asker(*identity(config), prompts, config.set_name, lambda: chat_of(config))
    texts = {row["item_id"]: item_text(row, prompts.join) for row in new.frame.iter_rows(named=True)}
    questions = [asker.item(item, text) for item, text in texts.items() if text]
    with Ledger.opened(workspace / LEDGER) as ledger:
        budget = Budget(config.budget, ledger.spent_usd(config.set_name))
        caller = Caller(ledger, Gate(config.workers), price=price, budget=budget)
        outcome = ask.run(caller, asker, iter(questions), total=len(questions), progress=progress)
        found: dict[str, ItemProfile] = {}
        for question in questions:
            if (answer := answered(ledger, asker, question.key, ask.read_item)) is not None:
                told, origin = answer
                found[question.about] = ItemProfile(question.about, told.summary, told.tags, told.edges, origin)
    return found, outcome
