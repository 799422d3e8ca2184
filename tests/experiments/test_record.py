"""What a record says of its runs in one row."""

from __future__ import annotations

import json
from pathlib import Path

from hyperllm.experiments.record import HEADS, rows


def test_cost_is_that_of_the_last_phase_that_trained(tmp_path: Path) -> None:
    phases = {
        "phase 1": {"epochs": 5, "elapsed_s": 50.0, "best_epoch": 5, "valid": {"saturated": 0.9}},
        "phase 2": {"epochs": 10, "elapsed_s": 20.0, "best_epoch": 7, "valid": {"saturated": 0.4}},
        "phase 3": {"epochs": 5, "elapsed_s": 500.0, "best_epoch": 2, "valid": {}},
    }
    run = {"metrics": {"recall@20": 0.2}, "phases": phases, "peak_memory_mb": 7}
    (tmp_path / "one.json").write_text(json.dumps({"runs": [run], "published": {}}))
    (row,) = rows(tmp_path)
    told = dict(zip(HEADS, row, strict=True))
    assert (told["s/epoch"], told["saturated"], told["best epoch"]) == ("2.0", "0.40", "7")
