"""Finished answers of one version of the model, so that who asks again is answered at once.

Knows keys and bytes. Does not know what they say. A list changes only with the model, so nothing here goes stale: with
another version all of it is dropped.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

_OVERHEAD = 300


class Remembered:
    """At most ``limit`` bytes of answers; what was asked for longest ago goes first. Used from one thread."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._version: object = None
        self._size = 0
        self._answers: OrderedDict[Hashable, bytes] = OrderedDict()

    def get(self, version: object, key: Hashable) -> bytes | None:
        """The answer, if it is of this version; asking for another version forgets the one before."""
        if version is not self._version:
            self._version, self._size = version, 0
            self._answers.clear()
        answer = self._answers.get(key)
        if answer is not None:
            self._answers.move_to_end(key)
        return answer

    def put(self, version: object, key: Hashable, answer: bytes) -> None:
        """Keep an answer, unless its version is no longer asked for."""
        if version is not self._version or key in self._answers:
            return
        self._answers[key] = answer
        self._size += len(answer) + _OVERHEAD
        while self._size > self._limit:
            _, oldest = self._answers.popitem(last=False)
            self._size -= len(oldest) + _OVERHEAD
