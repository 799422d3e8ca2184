"""What every source hands to `prepare`.

Knows the shape of raw data: events or a finished split, item texts, imported tags, and the fingerprints of the files
they came from. Does not know any file format.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hyperllm.data.catalog import Catalog
from hyperllm.data.interactions import Interactions
from hyperllm.data.split import Split
from hyperllm.data.tags import TagGraph


@dataclass(frozen=True)
class RawData:
    """One data set as its source tells it, before any filter.

    ``interactions`` are events still to be split, or a `Split` that is kept. ``catalog`` may know more items than were
    clicked, or fewer. ``inputs`` maps a name to the SHA-256 of what was read, ``reading`` records how it was read
    (column names, layout). ``time_is_per_user`` says that times only order one user's own events. ``notes`` are
    sentences the user should see.
    """

    interactions: Interactions | Split
    catalog: Catalog
    tags: TagGraph | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    reading: Mapping[str, str | None] = field(default_factory=dict)
    time_is_per_user: bool = False
    notes: tuple[str, ...] = ()
