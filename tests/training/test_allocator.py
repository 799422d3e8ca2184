from __future__ import annotations

import os
import subprocess
import sys

import pytest

FAULTS = """
import resource, torch
from hyperllm.training.allocator import keep_freed_memory
took = {call}
def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3): torch.zeros(20_000_000)
before = faults()
for _ in range(10): torch.zeros(20_000_000)
print(took, faults() - before)
"""


def run(call: str, **environment: str) -> tuple[bool, int]:
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "THP_"))}
    done = subprocess.run(
        [sys.executable, "-c", FAULTS.format(call=call)],
        capture_output=True,
        text=True,
        check=True,
        env={**plain, **environment},
    )
    took, faults = done.stdout.split()
    return took == "True", int(faults)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_freed_memory_is_used_again_without_asking_the_kernel() -> None:
    _, before = run("False")
    took, after = run("keep_freed_memory()")
    if not took:
        pytest.skip("this C library has no such switch")
    assert after < before / 20


def test_a_users_own_setting_is_left_alone() -> None:
    took, _ = run(
        "keep_freed_memory() or 'THP_MEM_ALLOC_ENABLE' in __import__('os').environ", MALLOC_MMAP_THRESHOLD_="65536"
    )
    assert not took
