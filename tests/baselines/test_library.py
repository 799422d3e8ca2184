"""An absent package is asked for, and threads are given back."""

from __future__ import annotations

import sys

import pytest
from threadpoolctl import threadpool_info

from hyperllm.baselines import BASELINES
from hyperllm.baselines.library import implicit
from hyperllm.data.split import Split
from hyperllm.errors import ConfigError


@pytest.mark.parametrize(("name", "module"), [("als", "cpu.als"), ("itemknn", "nearest_neighbours")])
def test_an_absent_package_is_asked_for(name: str, module: str, board: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, f"implicit.{module}", None)
    with pytest.raises(ConfigError, match=r"needs implicit .*pip install 'hyperllm\[paper\]'"):
        BASELINES[name].fit(board)


def test_blas_has_one_thread_inside_and_its_own_number_after() -> None:
    def threads() -> list[int]:
        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    before = threads()
    with implicit("cpu.als") as library:
        assert library.__name__ == "implicit.cpu.als"
        assert set(threads()) <= {1}
    assert threads() == before
