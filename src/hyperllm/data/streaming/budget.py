"""How much memory there is, and how many rows at a time that makes.

Knows sizes as people write them, what this process holds already, and bytes a row of each kind of work. Does not know
what the rows are.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from hyperllm.errors import ConfigError, DataError

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}
_BLOCK_ROW = 600
"""Bytes a row costs while it is read: its texts, their hashes and codes, and what polars keeps beside them."""
_BUCKET_ROW = 120
"""Bytes a row costs while one bucket is sorted: keys, orders and masks."""
_TEXT_COPIES = 8
"""How often a text is there while it is read: in blocks that wait, as Python text, and before and after."""
_SPARE = 48 * 2**20
"""What the interpreter takes besides, such as the next file's footer."""
_LEAST_BLOCK, _MOST_BLOCK, _MOST_BUCKET = 2**12, 2**20, 2**26


def size(text: str) -> int:
    """Bytes of a size such as ``2GB``, ``500MB`` or ``1.5GiB``; raises `ConfigError`."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?I?)B?\s*", text.upper())
    if found is None or found[2] not in _UNITS or not (value := int(float(found[1]) * _UNITS[found[2]])):
        raise ConfigError(f"a memory limit is a size such as 2GB or 500MB; found {text!r}")
    return value


def shown(value: float) -> str:
    """A number of bytes as people read it."""
    return f"{value / 1e9:.2f} GB" if value >= 1e9 else f"{value / 1e6:.0f} MB"


@dataclass(frozen=True)
class Budget:
    """``limit`` bytes for the whole process, of which it holds ``resident`` before the work begins."""

    limit: int
    resident: int

    @classmethod
    def of(cls, limit: str) -> Budget:
        """The budget that ``limit`` leaves this process."""
        return cls(size(limit), resident_bytes())

    @property
    def free(self) -> int:
        """What is left for rows and ids."""
        return self.limit - self.resident - _SPARE

    def require(self, held: int) -> int:
        """What is left beside ``held`` bytes that are needed throughout; raises `DataError` where it is too little."""
        left = self.free - held
        if left < _LEAST_BLOCK * _BLOCK_ROW:
            raise DataError(
                f"a memory limit of {shown(self.limit)} is too small: this process holds {shown(self.resident)} before "
                f"it begins, and this data needs {shown(held + _SPARE)} besides, and room for rows. Choose a higher."
            )
        return left

    def plan(self, held: int = 0) -> Plan:
        """Rows at a time, beside ``held`` bytes; raises as `require`."""
        left = self.require(held)
        block = min(_MOST_BLOCK, max(_LEAST_BLOCK, left // (2 * _BLOCK_ROW)))
        return Plan(block, min(_MOST_BUCKET, max(_LEAST_BLOCK, left // (2 * _BUCKET_ROW))))


@dataclass(frozen=True)
class Plan:
    """Rows of a block that is read or passed over, and rows of a bucket that is sorted."""

    block: int
    bucket: int

    def texts(self, row_bytes: int) -> int:
        """How many rows of item texts of ``row_bytes`` take the place of a block."""
        return max(1, self.block * _BLOCK_ROW // (_BLOCK_ROW + _TEXT_COPIES * row_bytes))

    def buckets(self, rows: int) -> int:
        """How many buckets hold ``rows``, a quarter more than even ones would since users differ."""
        return max(1, -(-rows * 5 // (4 * self.bucket)))


def resident_bytes() -> int:
    """What this process holds now; where the system does not tell, the most it has held; 0 where nobody can say."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    if sys.platform == "win32":
        return 0
    import resource  # not on Windows

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
