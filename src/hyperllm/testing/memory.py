"""How large a tensor a computation ever makes, and how much it holds at once.

Knows torch's operations, forward and backward. Does not know what is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten


class Largest(TorchDispatchMode):
    """``numel``: elements of the largest tensor that any operation has returned.

    Views of expanded ones count whole, sparse ones by the values they hold.
    """

    def __init__(self) -> None:
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and look at what it returns."""
        del types
        result = func(*args, **(kwargs or {}))
        for value in tree_flatten(result)[0]:
            if isinstance(value, Tensor):
                self.numel = max(self.numel, value.numel() if value.layout == torch.strided else value._nnz())
        return result


@contextmanager
def largest_tensor() -> Generator[Largest]:
    """Watch the operations of the body on this thread."""
    with Largest() as watcher:
        yield watcher


def peak_bytes(work: Callable[[], object]) -> int:
    """Most bytes of tensors on the CPU that ``work`` held at once, beyond those that were there before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        work()
    results: Any = record.profiler
    events = [event for event in results.kineto_results.events() if event.name() == "[memory]"]
    level = top = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        level += event.nbytes()
        top = max(top, level)
    return top
