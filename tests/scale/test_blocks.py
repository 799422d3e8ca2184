"""Blocks whose worker dies, without a cluster: halved until one row is left that kills, which is given up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hyperllm.errors import DataError
from hyperllm.scale import blocks as room
from hyperllm.scale.blocks import MANY, TRIES, BlockWorker, through, written

NUMBER = pa.schema({"number": pa.int64()})


class Dead(BaseException):
    """As a kill: nothing after it runs."""


class Squaring(BlockWorker):
    """Dies of some numbers."""

    schema = NUMBER

    def __init__(self, poison: frozenset[int]) -> None:
        self._poison = poison

    def made(self, rows: Sequence[dict[str, Any]]) -> Iterable[dict[str, Any]]:
        for row in rows:
            if row["number"] in self._poison:
                raise Dead
            yield {"number": row["number"] ** 2}

    def name(self, row: dict[str, Any]) -> str:
        return f"number {row['number']}"


class Restarting:
    """As `map_batches` of Ray: a block whose worker died goes to another one."""

    def __init__(self) -> None:
        self.deaths = 0
        self.DataContext = self

    def from_items(self, items: list[dict[str, str]], **how: Any) -> Any:
        self._paths = [item["path"] for item in items]
        return self

    def map_batches(self, worker: type[BlockWorker], *, fn_constructor_args: tuple[Any, ...], **how: Any) -> Any:
        self._new = lambda: worker(*fn_constructor_args)
        return self

    def ActorPoolStrategy(self, **how: Any) -> None:
        del how

    def iter_batches(self, **how: Any) -> Iterator[pa.Table]:
        for path in self._paths:
            while True:
                try:
                    yield self._new()(pa.table({"path": [path]}))
                    break
                except Dead:
                    self.deaths += 1


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Restarting:
    found = Restarting()
    monkeypatch.setattr(room, "data_of_ray", lambda: found)
    return found


def squares(folder: Path, count: int, size: int, poison: Iterable[int]) -> tuple[list[int], str | None]:
    """What came of the numbers below ``count``, and what was said of those given up."""
    found: list[int] = []
    with written(folder / "numbers", ({"number": n} for n in range(count)), NUMBER, size) as paths:
        try:
            for table in through(paths, Squaring, (frozenset(poison),), processes=1):
                assert table.column_names[0] == "number"
                found += table["number"].to_pylist()
        except DataError as error:
            return found, str(error)
    return found, None


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(poison=st.sets(st.integers(0, 39), max_size=MANY - 1), size=st.integers(1, 40))
def test_only_what_kills_is_given_up(tmp_path: Path, ray: Restarting, poison: set[int], size: int) -> None:
    ray.deaths = 0
    found, said = squares(tmp_path, 40, size, poison)
    assert found == [n * n for n in range(40) if n not in poison]
    assert (said is None) == (not poison)
    assert all(f"number {n}" in (said or "") for n in poison)
    assert len(poison) * TRIES <= ray.deaths <= len(poison) * (TRIES + (size - 1).bit_length())


def test_a_chance_death_costs_its_block_and_nothing_else(tmp_path: Path, ray: Restarting) -> None:
    class Once(Squaring):
        def made(self, rows: Sequence[dict[str, Any]]) -> Iterable[dict[str, Any]]:
            if not ray.deaths:
                raise Dead
            return super().made(rows)

    with written(tmp_path / "numbers", ({"number": n} for n in range(10)), NUMBER, 1) as paths:
        found = [n for table in through(paths, Once, (frozenset(),), processes=1) for n in table["number"].to_pylist()]
    assert found == [n * n for n in range(10)]
    assert ray.deaths == 1


def test_where_everything_kills_it_ends_soon(tmp_path: Path, ray: Restarting) -> None:
    found, said = squares(tmp_path, 1000, 4, range(1000))
    assert not found
    assert ray.deaths <= (MANY + 4) * (TRIES + 2)
    assert said is not None
    assert said.count("number") <= MANY + 4
    assert "repeat the command" in said
