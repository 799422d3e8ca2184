"""The GPU kernels without a GPU: their arithmetic in triton's interpreter, and their translation for real chips."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("triton")

ARITHMETIC = """
import json, torch
from hyperllm.geometry import lorentz
from hyperllm.losses import contrastive as plain, contrastive_triton as kernels
off = []
torch.manual_seed(0)
cases = ((150, 50, 1.0, 1.0, 0.15), (64, 3, 7.0, 2.0, 0.5), (1, 5, 1.0, 1.0, 0.1), (70, 70, 3.0, 0.5, 0.1))
for n, d, crowd, c, scale in cases:
    a, b = (lorentz.expmap0(scale * torch.randn(n, d), c) for _ in range(2))
    b[0] = a[0]
    options = {"temperature": 0.5, "c": c, "crowd": crowd}
    found = kernels.fused(a, b, **options)
    expected = plain.blocked(lorentz.project(a.double(), c), lorentz.project(b.double(), c), **options)
    off += [float((x - y).abs().max() / (1e-3 + y.abs().max())) for x, y in zip(found, expected)]
far = torch.tensor([[5.0, 0.0], [-5.0, 0.0]])
a, b = lorentz.expmap0(far), lorentz.expmap0(-far)
value = float(kernels.fused(a, b, temperature=0.05, c=1.0, crowd=1.0)[0])
print(json.dumps({"off": off, "far": value}))
"""


def run(program: str, **environment: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={**os.environ, **environment}, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_kernels_compute_what_the_blocked_pass_computes() -> None:
    found = run(ARITHMETIC, TRITON_INTERPRET="1")
    assert max(found["off"]) < 2e-5  # type: ignore[call-overload]
    assert found["far"] == pytest.approx(2 * 10.0**2 / 0.05, rel=0.01)


TRANSLATION = """
import json
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from hyperllm.losses import contrastive_triton as kernels
options = {"num_stages": kernels.STAGES}
kinds = {"n": "i32", "d": "i32", "log_crowd": "fp32", "sharpness": "fp32"}
found = {}
for kernel in (kernels._rows_kernel, kernels._columns_kernel):
    for precision in ("ieee", "tf32"):
        for dim in (50, 128, 256):
            constants = kernels.sizes(dim + 1, precision=precision)
            names = kernel.arg_names
            signature = {n: "constexpr" if n in constants else kinds.get(n, "*fp32") for n in names}
            values = {(names.index(n),): v for n, v in constants.items()}
            made = compile(ASTSource(kernel, signature, values), target=GPUTarget("cuda", CHIP, 32), options=options)
            found[f"{kernel.__name__} {precision} {dim}"] = [len(made.asm["cubin"]), made.metadata.shared]
print(json.dumps(found))
"""


@pytest.mark.parametrize(("chip", "shared_kib"), [(80, 163), (86, 99), (90, 227)])
def test_they_are_translated_for_real_chips_and_fit_their_shared_memory(chip: int, shared_kib: int) -> None:
    found = run(TRANSLATION.replace("CHIP", str(chip)))
    assert len(found) == 12
    for name, (size, shared) in found.items():  # type: ignore[misc]
        assert size > 0
        assert shared <= shared_kib * 1024, name
