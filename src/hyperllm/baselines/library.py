"""The package `implicit`, an optional part: reached when a model needs it, and kept to one thread of BLAS meanwhile.

Knows its name and its manners. Does not know what is asked of it.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from hyperllm.errors import ConfigError


@contextmanager
def implicit(module: str) -> Generator[Any]:
    """``implicit.MODULE`` for the time of a fit; raises `ConfigError` where the package is not installed.

    It runs threads of its own; BLAS threads below them are slow, warned of, and sum in an order of their own.
    """
    try:
        found, limits = import_module(f"implicit.{module}"), import_module("threadpoolctl")
    except ImportError as error:
        raise ConfigError(f"this baseline needs implicit ({error}): pip install 'hyperllm[paper]'") from None
    with limits.threadpool_limits(1, "blas"):
        yield found
