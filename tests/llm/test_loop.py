"""Awaited work runs to its end from ordinary code, and from inside a running loop as well."""

from __future__ import annotations

import asyncio
import threading

import pytest

from hyperllm.llm.loop import wait_for


async def _where() -> int:
    await asyncio.sleep(0)
    return threading.get_ident()


async def _fails() -> None:
    raise LookupError("lost")


def test_without_a_loop_it_runs_in_this_thread():
    assert wait_for(_where) == threading.get_ident()


def test_inside_a_loop_it_runs_beside_it():
    async def notebook() -> int:
        return wait_for(_where)

    assert asyncio.run(notebook()) != threading.get_ident()


@pytest.mark.parametrize("inside", [False, True])
def test_what_is_raised_comes_through(inside):
    async def notebook() -> None:
        wait_for(_fails)

    with pytest.raises(LookupError, match="lost"):
        asyncio.run(notebook()) if inside else wait_for(_fails)
