"""Ids of a model on disk: read a piece at a time, whatever stands in them and however the list was laid out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hyperllm import artifacts
from hyperllm.serving import storage
from hyperllm.serving.storage import Stored

NAMES = st.lists(st.text(st.sampled_from('ab0 ",[]\\\n\r\u2028é'), max_size=5), unique=True, max_size=12)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ids=NAMES, indent=st.sampled_from([None, 1, 4]))
@example(ids=["]", ",", '"', "[", "],"], indent=1)
def test_ids_come_back_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ids: list[str], indent: int | None
) -> None:
    monkeypatch.setattr(storage, "_IDS_AT_ONCE", 3)
    artifacts.write_json(tmp_path / "written.json", ids)
    (tmp_path / "dumped.json").write_text(json.dumps(ids, indent=indent), encoding="utf-8")
    for name in ("written", "dumped"):
        found = Stored(tmp_path).ids(name)
        assert found.take(range(len(ids))) == ids


@pytest.mark.parametrize("text", ['[\n "a",\n 7\n]\n', '[\n "a" "b"\n]\n'])
def test_what_is_no_list_of_ids_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "users.json").write_text(text, encoding="utf-8")
    with pytest.raises((ValueError, TypeError)):
        Stored(tmp_path).ids("users")
