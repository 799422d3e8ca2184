"""Large tensors that keep their memory from one step to the next.

A step makes and drops dozens of tensors as large as the node tables. By default glibc gives each of them back to the
kernel, which has to map and clear every page anew: a quarter of a step on graphs of millions of nodes.
"""

from __future__ import annotations

import ctypes
import os
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_MOST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let this process reuse what tensors free, in huge pages where the kernel offers them; whether glibc took it.

    Affects the whole process and costs it about a third more memory at its peak. Does nothing where the C library is
    not glibc, or where MALLOC_MMAP_THRESHOLD_ says that the user has settled the matter.
    """
    if not sys.platform.startswith("linux") or "MALLOC_MMAP_THRESHOLD_" in os.environ:
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # torch reads it at its first large tensor
    return bool(mallopt(_M_MMAP_THRESHOLD, _MOST) and mallopt(_M_TRIM_THRESHOLD, _MOST))
