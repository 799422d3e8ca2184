"""Work done ahead changes nothing but the time it is done at."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from hyperllm.training.ahead import ahead


def alive() -> int:
    return sum(thread.name == "batches" for thread in threading.enumerate())


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_the_elements_come_in_order(depth: int) -> None:
    assert list(ahead(range(20), depth=depth)) == list(range(20))
    assert list(ahead([], depth=depth)) == []
    assert alive() == 0


def test_the_next_element_is_made_before_it_is_asked_for_and_not_many() -> None:
    made: list[int] = []

    def source() -> Iterator[int]:
        for k in range(50):
            made.append(k)
            yield k

    elements = ahead(source(), depth=2)
    assert next(elements) == 0
    until = time.monotonic() + 10
    while len(made) < 4 and time.monotonic() < until:
        time.sleep(0.001)
    assert made == [0, 1, 2, 3], "two waiting and one in the maker's hands"
    elements.close()


def test_a_failure_is_raised_in_its_place() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    elements = ahead(source())
    assert next(elements) == 1
    with pytest.raises(ValueError, match="no more"):
        next(elements)
    assert alive() == 0


@pytest.mark.parametrize("depth", [1, 3])
def test_a_consumer_that_stops_leaves_no_thread_behind(depth: int) -> None:
    elements = ahead(iter(range(10**9)), depth=depth)
    assert [next(elements), next(elements)] == [0, 1]
    elements.close()
    assert alive() == 0
