"""What a shop sees: named rows, polite errors, a Parquet file that is whole or absent, and no torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from hyperllm.errors import ConfigError, DataError, UnknownId
from hyperllm.serving.model import ScoreModel
from hyperllm.serving.recommender import Recommender


def test_importing_leaves_torch_out() -> None:
    code = "import sys, hyperllm.serving.recommender, hyperllm.baselines; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_recommend_gives_named_rows_in_order(model: ScoreModel) -> None:
    shop = Recommender(model)
    found = shop.recommend(["u5", "u0"], k=4)
    assert [row.user_id for row in found] == ["u5"] * 4 + ["u0"] * 4
    assert [row.rank for row in found] == [1, 2, 3, 4] * 2
    for user in ("u5", "u0"):
        rows = found.of(user)
        seen = model.items.take(model.seen[int(user[1])].indices)
        assert not set(seen) & {row.item_id for row in rows}
        assert [r.score for r in rows] == sorted((r.score for r in rows), reverse=True)
        assert all(row.title == model.titles[model.items.rows([row.item_id])[0]] for row in rows)


def test_seen_items_on_request(model: ScoreModel) -> None:
    found = Recommender(model).recommend(["u1"], k=30, filter_seen=False)
    assert len(found) == 30
    assert len(Recommender(model).recommend(["u1"], k=30)) == 30 - model.seen[1].nnz


def test_score_is_minus_the_distance(hyperbolic: ScoreModel) -> None:
    row = Recommender(hyperbolic).recommend(["u2"], k=1)[0]
    vectors = hyperbolic.user_vectors
    assert isinstance(vectors, np.ndarray)
    u, i = vectors[2].astype(float), hyperbolic.item_vectors[hyperbolic.items.rows([row.item_id])[0]].astype(float)
    assert row.score == pytest.approx(-np.arccosh(u[0] * i[0] - u[1:] @ i[1:]), rel=1e-5)


def test_score_of_a_fused_model_is_the_product_of_both_parts(mixed: ScoreModel) -> None:
    row = Recommender(mixed).in_memory().recommend(["u2"], k=1)[0]
    u, i = (np.asarray(v, dtype=float) for v in (mixed.user_vectors[2], mixed.item_vectors[int(row.item_id[1:])]))
    assert row.score == pytest.approx(-u[0] * i[0] + u[1:] @ i[1:], rel=1e-5)


def test_similar(model: ScoreModel) -> None:
    found = Recommender(model).similar(["i04", "i09"], k=3)
    assert [row.query_id for row in found] == ["i04"] * 3 + ["i09"] * 3
    assert (found[0].item_id, found.of("i09")[0].item_id) == ("i09", "i04")


def test_frames_and_texts(model: ScoreModel) -> None:
    found = Recommender(model).recommend(["u0"], k=3)
    frame = found.to_polars()
    assert frame.columns == ["user_id", "item_id", "rank", "score", "title"]
    assert found.to_pandas()["item_id"].tolist() == frame["item_id"].to_list() == found.item_ids
    assert len(str(found).splitlines()) == 4
    html = found._repr_html_()
    assert "<b>" not in html
    assert html.count("<tr>") == 4
    assert "reasons" not in json.dumps(found.documents())


def test_reasons_on_request(model: ScoreModel) -> None:
    found = Recommender(model).recommend(["u0", "u6"], k=3, explain=True)
    assert all(row.reasons is not None for row in found)
    assert found.to_polars()["reasons"].to_list()[3:] == ["nothing in the history speaks for it"] * 3
    told = json.loads(json.dumps(found.documents()))
    assert {"tag_path", "tagged", "nearest", "parts"} == set(told[0]["reasons"])


def test_an_empty_answer_can_be_shown(model: ScoreModel) -> None:
    found = Recommender(model).recommend([], k=3)
    assert len(found) == 0
    assert str(found).split() == ["user_id", "item_id", "rank", "score", "title"]
    assert found.to_polars().schema["score"] == pl.Float64
    assert "<tbody></tbody>" in found._repr_html_()


def test_long_answers_are_cut_when_printed(model: ScoreModel) -> None:
    found = Recommender(model).recommend(["u6"] * 3, k=30)
    assert str(found).endswith("… and 30 more")
    assert "and 30 more" in found._repr_html_()


def test_pandas_is_optional(model: ScoreModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConfigError, match="pip install pandas"):
        Recommender(model).recommend(["u0"]).to_pandas()


def test_unknown_ids_and_slips(model: ScoreModel) -> None:
    shop = Recommender(model)
    with pytest.raises(UnknownId, match="unknown user 'u9'"):
        shop.recommend(["u0", "u9"])
    with pytest.raises(UnknownId, match="Did you mean 'i04'"):
        shop.similar(["i044"])
    with pytest.raises(ConfigError, match=r"such as \['u1'\]"):
        shop.recommend("u1")
    with pytest.raises(ConfigError, match="k is 0"):
        shop.recommend(["u0"], k=0)


def test_recommend_all_equals_recommend(model: ScoreModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hyperllm.serving.recommender.BATCH", 3)
    shop, steps = Recommender(model), []
    written = shop.recommend_all(tmp_path / "all.parquet", 5, progress=lambda done, of: steps.append((done, of)))
    frame = pl.read_parquet(tmp_path / "all.parquet")
    single = shop.recommend(shop.users.ids, 5).to_polars()
    assert frame.with_columns(pl.col("rank").cast(pl.Int64)).equals(single.drop("title"))
    assert written == len(single)
    assert steps == [(3, 7), (6, 7), (7, 7)]


def test_recommend_all_is_whole_or_absent(model: ScoreModel, tmp_path: Path) -> None:
    def interrupted(done: int, of: int) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "all.parquet"
    out.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        Recommender(model).recommend_all(out, progress=interrupted)
    assert out.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["all.parquet"]
    with pytest.raises(DataError, match="does not exist"):
        Recommender(model).recommend_all(tmp_path / "no" / "all.parquet")


def test_load_by_run_folder(model: ScoreModel, tmp_path: Path) -> None:
    model.save(tmp_path / "runs" / "mine" / "model")
    shop = Recommender.load(str(tmp_path / "runs" / "mine"))
    assert shop.recommend(["u3"], explain=True) == Recommender(model).recommend(["u3"], explain=True)
    assert (shop.users, shop.items) == (model.users, model.items)
