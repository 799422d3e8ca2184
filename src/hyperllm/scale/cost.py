"""What a step of processes that share out columns, and maybe the graph, hands over, on paper.

Knows sizes. Does not know tables or processes: `tests/scale` holds the formula against what was counted. All are
numbers of 4 bytes; on a ring of f processes each sends 2(f−1)/f times as many.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Branch:
    """A graph with ``nodes``, of whose ``batch`` anchors each has a positive and ``negatives``."""

    nodes: int
    batch: int
    negatives: int = 1

    def numbers(self, maps: int, *, far_out: bool) -> int:
        """Each map that changes a row's length needs one number a row, forward and backward, each distance two.

        Points beyond radius 1.6 need five more a distance, and a flag asks whether there are any.
        """
        distances = self.batch * (1 + self.negatives)
        return 2 * maps * self.nodes + (14 if far_out else 4) * distances + 1


@dataclass(frozen=True)
class Step:
    """One step: its branches, the rows of all its tables, and the items that Eq. 16 compares.

    ``maps`` is 1 for a tangent-space backbone, whose only one is exp₀, and 2 + 2L for HGCH, with exp₀, L centroids, L
    log₀ and exp₀. ``manifold`` says that tables are points, moved by Riemannian SGD.
    """

    branches: tuple[Branch, ...]
    rows: int
    contrast: int = 0
    maps: int = 1
    manifold: bool = True
    far_out: bool = False

    def numbers(self) -> int:
        """All that goes into sums: none of it grows with the dimension."""
        encoded = sum(branch.numbers(self.maps, far_out=self.far_out) for branch in self.branches)
        tables = (2 + 6) * self.rows if self.manifold else 0  # log₀; six products and lengths of the optimiser
        return encoded + tables + (self.contrast**2 + self.contrast + 2 if self.contrast else 0)

    def rows_shared(self, width: int, layers: int) -> int:
        """What replicas hand over that share out the graph: ``width`` numbers a node and layer of each branch.

        Its own rows forward, those of the others backward; together g−1 of g replicas' rows are sent each way.
        ``width`` are the columns of a process, and one more where points are propagated.
        """
        return layers * width * sum(branch.nodes for branch in self.branches)
