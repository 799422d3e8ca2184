"""From texts to tags and vectors, items a second: `make bench WHAT=extract`.

On an invented shop: profiles and taxonomy by keywords and by a scripted language model (which answers at once, so that
only our own work is timed), then the text encoders. `--encoders` names other encoders; one that cannot be had is left
out.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from worlds import table

from hyperllm.data.prepare import PrepareConfig, load_catalog, prepare
from hyperllm.data.sources.planted import ShopConfig, invent_shop
from hyperllm.data.sources.table import read_table
from hyperllm.errors import ProviderUnavailable
from hyperllm.extraction.config import ExtractConfig
from hyperllm.extraction.encode import embed
from hyperllm.extraction.extract import extract
from hyperllm.llm.encoders import make_encoder

ITEMS = 3000


def had(encoder: str) -> bool:
    """Whether an encoder's model is here or can be fetched; fetching is not timed."""
    try:
        make_encoder(encoder, fall_back=False)
    except ProviderUnavailable as error:
        print(f"{encoder} is left out: {error}")
        return False
    return True


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoders", nargs="*", default=["hash", "wordllama", "minilm"])
    encoders = [name for name in parser.parse_args().encoders if had(name)]
    with tempfile.TemporaryDirectory() as folder:
        shop = Path(folder) / "shop"
        clicks, items = invent_shop(ShopConfig(users=2 * ITEMS, items=ITEMS)).write(Path(folder) / "raw")
        prepare(shop, read_table(clicks, items), config=PrepareConfig())
        count = len(load_catalog(shop).items)
        work: dict[str, Callable[[], object]] = {
            "profiles and tags, keywords": lambda: extract(shop),
            "profiles and tags, scripted model": lambda: extract(shop, ExtractConfig(llm="scripted")),
            **{f"vectors, {name}": lambda name=name: embed(shop, encoder=name) for name in encoders},
        }
        rows = []
        for name, run in work.items():
            began = time.perf_counter()
            run()
            rows.append((name, time.perf_counter() - began))
    print(f"{count:,} items")
    first = rows[0][1]
    table(
        ["stage", "s", "items a second", "ratio"],
        [[name, f"{spent:.2f}", f"{count / spent:,.0f}", f"{spent / first:.2f}"] for name, spent in rows],
    )


if __name__ == "__main__":
    main()
