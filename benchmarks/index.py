"""An approximate index beside exact ranking, as ratios taken in one run: `make bench WHAT=index`.

Items lie on the hyperboloid as a shop's do: a tree of ten branches a node, each level's step .8 of the one before, ten
items a leaf, at distances from the origin of mean 2.1 and at most 3.6 (trained models: between 1.5 and 3.7, by
backbone). A user stands near an item, at .7 of its distance, and has clicked eight of that leaf's surroundings, which
stay hidden. With `--model` a trained model takes their place.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import numpy as np
from threadpoolctl import threadpool_limits
from worlds import ids, resident_mb, seconds, table

from hyperllm.data.interactions import Pairs
from hyperllm.data.split import Split
from hyperllm.evaluation.rank import TopK
from hyperllm.ids import Rows
from hyperllm.serving.index import ApproximateIndex
from hyperllm.serving.model import ScoreModel
from hyperllm.serving.vectors import Metric, export_vectors, query_vectors, rescore

K, ALONE, LEAF, CLICKS = 20, 50, 10, 8


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=20_000, help="of the generated shop (default 20,000)")
    parser.add_argument("--dim", type=int, default=50)
    parser.add_argument("--users", type=int, default=1_000, help="who are ranked for (default 1,000)")
    parser.add_argument("--model", type=Path, help="a run, or its model/ folder, instead of a generated shop")
    parser.add_argument("--connectivity", type=int, default=32)
    parser.add_argument("--expansions", type=int, nargs="+", default=[64, 128, 256, 512])
    parser.add_argument("--batch", type=int, default=64, help="users ranked together (default 64)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--database", action="store_true", help="measure LanceDB on exported vectors instead")
    told = parser.parse_args()
    model = ScoreModel.load(told.model) if told.model else planted(told.items, told.users, told.dim)
    count = min(told.users, len(model.users))
    users = np.random.default_rng(0).choice(len(model.users), count, replace=False)
    with threadpool_limits(told.threads), tempfile.TemporaryDirectory() as folder:
        print(
            f"{len(model.items):,} items x {model.item_vectors.shape[1]:,} columns, {model.flat:,} of them factors; "
            f"{count:,} users, training items hidden, k = {K}, {told.threads} threads"
        )
        (database if told.database else measure)(model, users, told, Path(folder) / "index")


def measure(model: ScoreModel, users: Rows, told: argparse.Namespace, folder: Path) -> None:
    """Exact ranking, an index, and that index from disk."""
    truth = ranked(model.topk, model, users, told.batch)
    exact = rates(model.topk, model, users, told.batch)
    print(f"exact: {exact[0]:,.0f} users/s {told.batch} at a time, {exact[1]:,.0f} users/s one at a time", flush=True)
    began = time.perf_counter()
    built = ApproximateIndex.build(model, connectivity=told.connectivity, threads=told.threads, progress=shown())
    built_s = time.perf_counter() - began
    built.save(folder)
    size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    left_out = len(built.left_out)
    del built
    before, began = resident_mb(), time.perf_counter()
    index = ApproximateIndex.load(folder, model, threads=told.threads)
    loaded_s, after = time.perf_counter() - began, resident_mb()
    print(
        f"built in {built_s:,.1f} s, {size:,.0f} MB on disk, {left_out:,} items out of reach; "
        f"mapped in {loaded_s:.2f} s with its files checked, {after - before:,.0f} MB resident"
    )
    rows: list[list[str]] = []
    for expansion in told.expansions:
        index = replace(index, expansion=expansion)
        share = recall(truth, ranked(index.topk, model, users, told.batch))
        found = rates(index.topk, model, users, told.batch)
        ratios = [f"{ours / theirs:.1f}x" for ours, theirs in zip(found, exact, strict=True)]
        rows.append([f"{expansion}", f"{share:.4f}", f"{found[0]:,.0f}", ratios[0], f"{found[1]:,.0f}", ratios[1]])
    table(["expansion", f"recall@{K}", f"users/s, {told.batch} at a time", "ratio", "one at a time", "ratio"], rows)
    print(f"after these walks {resident_mb() - before:,.0f} MB are resident")
    items = users % len(model.items)
    print(f"recall@{K} of similar items: {recall(model.similar(items, K), index.similar(items, K)):.4f}")


def database(model: ScoreModel, users: Rows, told: argparse.Namespace, folder: Path) -> None:
    """LanceDB on exported vectors, exact and by its own graph, what it returns scored again."""
    import lancedb
    from lancedb.index import HnswFlat
    from pyarrow import parquet

    users = users[:200]
    truth, rows = model.topk(users, K), []
    for metric in get_args(Metric):
        export_vectors(model, folder.with_suffix(".parquet"), metric=metric)
        items = lancedb.connect(folder / metric).create_table(
            "items", parquet.read_table(folder.with_suffix(".parquet"))
        )
        queries = query_vectors(model, users, metric=metric)

        def answers(
            fetch: int, *, walk: bool, items: Any = items, metric: str = metric, queries: Any = queries
        ) -> TopK:
            found: list[list[str]] = []
            for query in queries:
                asked = items.search(query).distance_type(metric).limit(fetch).select(["item_id", "_distance"])
                asked = asked.ef(max(2 * fetch, 128)) if walk else asked
                found.append(asked.to_arrow()["item_id"].to_pylist())
            return rescore(model, users, found, K)

        for walk in (False, True):
            if walk:
                graph = HnswFlat(distance_type=metric, num_partitions=1, m=told.connectivity)
                items.create_index("vector", config=graph, wait_timeout=timedelta(minutes=10))
            for fetch in (K, 5 * K, 10 * K) if walk else (K,):
                began = time.perf_counter()
                found = answers(fetch, walk=walk)
                rate = len(users) / (time.perf_counter() - began)
                kind = "graph" if walk else "exact"
                rows.append([f"{metric}, {kind}", f"{fetch}", f"{recall(truth, found):.4f}", f"{rate:,.0f}"])
    table(["LanceDB", "fetched", f"recall@{K} after rescoring", "users/s, one at a time"], rows)


def ranked(topk: Callable[..., TopK], model: ScoreModel, users: Rows, batch: int) -> TopK:
    """The k best of all users, a batch at a time."""
    found = [topk(users[start : start + batch], K, mask=model.seen) for start in range(0, len(users), batch)]
    return TopK(np.concatenate([f.items for f in found]), np.concatenate([f.scores for f in found]))


def rates(topk: Callable[..., TopK], model: ScoreModel, users: Rows, batch: int) -> tuple[float, float]:
    """Users a second, in batches and one by one."""
    together = seconds(lambda: ranked(topk, model, users, batch), repeats=3)
    few = users[:ALONE]
    return len(users) / together, len(few) / seconds(lambda: ranked(topk, model, few, 1), repeats=3)


def recall(truth: TopK, found: TopK) -> float:
    """Mean share of the exact k best that were found."""
    shares = [np.isin(t[t >= 0], f).mean() for t, f in zip(truth.items, found.items, strict=True) if (t >= 0).any()]
    return float(np.mean(shares))


def planted(items: int, users: int, dim: int) -> ScoreModel:
    """The generated shop."""
    rng = np.random.default_rng(0)
    place, distance = tree(items, dim, rng), np.clip(rng.normal(2.1, 0.5, size=items), 0.8, 3.6)
    near = rng.integers(items, size=users)
    way = place[near] + 0.4 / np.sqrt(dim) * rng.normal(size=(users, dim))
    clicked = (near[:, None] // LEAF * LEAF + np.arange(CLICKS)) % items
    order = rng.permutation(items)  # where a row stands says nothing
    pairs = Pairs(np.repeat(np.arange(users), CLICKS), order[clicked].ravel())
    points = np.empty((items, dim + 1), dtype=np.float32)
    points[order] = lifted(place, distance)
    split = Split(ids(users), ids(items), pairs, pairs, pairs)
    return ScoreModel.of_points(split, users=lifted(way, 0.7 * distance[near]), items=points)


def tree(items: int, dim: int, rng: np.random.Generator) -> np.ndarray:
    """Directions (items, dim), ten items a leaf beside each other."""
    place, size, step = np.zeros((1, dim)), -(-items // LEAF), 1.0
    while len(place) < size:
        place = np.repeat(place, min(10, -(-size // len(place))), axis=0)
        place = place + step * rng.normal(size=place.shape)
        step *= 0.8
    leaves = np.repeat(place[:size], LEAF, axis=0)[:items]
    leaves = leaves + step * rng.normal(size=leaves.shape)
    return leaves / np.linalg.norm(leaves, axis=1, keepdims=True)


def lifted(way: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Points of the hyperboloid in these directions, at these distances from the origin."""
    way = way / np.linalg.norm(way, axis=1, keepdims=True)
    return np.hstack([np.cosh(distance)[:, None], np.sinh(distance)[:, None] * way]).astype(np.float32)


def shown() -> Callable[[int, int], None]:
    """Tells every tenth of the way, of long builds."""
    began, told = time.perf_counter(), [0]

    def tell(done: int, count: int) -> None:
        if 10 * done // count > told[0] and count > 100_000:
            told[0] = 10 * done // count
            print(f"  {done:,} of {count:,} items, {time.perf_counter() - began:,.0f} s", flush=True)

    return tell


if __name__ == "__main__":
    main()
