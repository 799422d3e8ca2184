"""The processes that train together: one, or several that have some columns of all vectors each.

Knows what training asks of them. Does not know how they talk; `hyperllm.scale.crew` has the form for several.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from torch import Tensor

from hyperllm.frameworks.base import Framework
from hyperllm.graph import Graph
from hyperllm.training.loop import FitConfig, fit
from hyperllm.training.report import FitReport

T = TypeVar("T")


class Crew(Protocol):
    """What `frameworks.train` needs to know of who trains."""

    @property
    def leads(self) -> bool:
        """Whether whole results come together in this process."""
        ...

    @property
    def graph(self) -> Callable[..., Graph]:
        """`Graph.of`, of whose rows each process may keep some."""
        ...

    def told(self, ask: Callable[[], T]) -> T:
        """What the process that leads finds, in all of them; a value that JSON can hold."""
        ...

    def together(self) -> Any:
        """A context, inside which the columns are where the crew has them."""
        ...

    def fit(self, framework: Framework, limits: FitConfig, **told: Any) -> FitReport:
        """`training.loop.fit`."""
        ...

    def whole(self, rows: Tensor, *, lead: int) -> Tensor:
        """Rows (n, lead + d) with all their columns on the CPU; of 0 rows in a process that does not lead."""
        ...

    def weights(self, framework: Framework) -> dict[str, Tensor]:
        """The framework's state with all columns, on the CPU; empty in a process that does not lead."""
        ...


class Alone:
    """One process, which has everything."""

    @property
    def leads(self) -> bool:
        """It does."""
        return True

    @property
    def graph(self) -> Callable[..., Graph]:
        """All of it."""
        return Graph.of

    def told(self, ask: Callable[[], T]) -> T:
        """What is found."""
        return ask()

    @contextmanager
    def together(self) -> Generator[None]:
        """As it is."""
        yield

    def fit(self, framework: Framework, limits: FitConfig, **told: Any) -> FitReport:
        """`training.loop.fit`."""
        return fit(framework, limits, **told)

    def whole(self, rows: Tensor, *, lead: int) -> Tensor:
        """The rows."""
        del lead
        return rows.cpu()

    def weights(self, framework: Framework) -> dict[str, Tensor]:
        """The framework's state."""
        return {name: value.detach().cpu() for name, value in framework.state_dict().items()}
