"""Batches made while the one before them is trained on."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable
from queue import Queue
from typing import TypeVar

T = TypeVar("T")
_END = object()


def ahead(source: Iterable[T], *, depth: int = 2) -> Generator[T]:
    """The elements of ``source`` in order, up to ``depth`` of them made in advance by a thread of their own.

    What ``source`` raises is raised here, in its place; a consumer that stops early stops the thread.
    """
    ready: Queue[object] = Queue(maxsize=depth)
    stopped = threading.Event()
    failure: list[BaseException] = []

    def make() -> None:
        try:
            for element in source:
                ready.put(element)
                if stopped.is_set():
                    return
        except BaseException as error:  # handed over to the consumer, whatever it is
            failure.append(error)
        ready.put(_END)

    thread = threading.Thread(target=make, name="batches", daemon=True)
    thread.start()
    try:
        while (element := ready.get()) is not _END:
            yield element  # type: ignore[misc]
        if failure:
            raise failure[0]
    finally:
        stopped.set()
        while not ready.empty():
            ready.get()
        thread.join()
