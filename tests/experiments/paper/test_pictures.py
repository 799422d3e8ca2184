"""Figures 2 to 5: every number stands where it belongs, and the same data gives the same file."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib import rcParams

from hyperllm.errors import ConfigError, DataError, MisalignedArrays
from hyperllm.experiments.paper import clusters
from hyperllm.experiments.paper.pictures import Cell, Group, History, figure2, figure3, figure4, figure5, save


def scores(recall: float) -> dict[str, float]:
    return {"recall@20": recall, "ndcg@20": recall / 2}


ABLATION = {
    "hgcf": {
        "base": Cell([scores(0.16)], published=scores(0.165)),
        "no-meta": Cell(missing="diverged"),
        "hyperllm": Cell([scores(0.18), scores(0.20)], published=scores(0.21)),
    }
}


def bars(axes: Any) -> list[float]:
    return [bar.get_height() for container in axes.containers if hasattr(container, "patches") for bar in container]


def texts(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]


def test_bars_are_means_and_a_missing_one_is_a_word() -> None:
    upper, lower = figure2(ABLATION).axes
    assert bars(upper) == pytest.approx([0.19])
    assert bars(lower) == pytest.approx([0.095])
    assert [label.get_text() for label in lower.get_xticklabels()] == ["HyperLLM", "w/o Meta"]
    assert [text.get_text() for text in upper.texts] == ["diverged"]
    (whisker,) = upper.collections
    assert np.ptp(whisker.get_segments()[0][:, 1]) == pytest.approx(2 * math.sqrt(0.0002))


def test_the_base_is_a_line_and_published_levels_are_marks() -> None:
    upper = figure2(ABLATION).axes[0]
    drawn = [list(map(float, line.get_ydata())) for line in upper.lines]
    assert [0.16, 0.16] in drawn
    assert [0.21] in drawn
    assert [0.165] in drawn


def test_a_bar_axis_that_leaves_zero_says_so() -> None:
    broken = figure2(ABLATION).axes[0]
    assert broken.get_ylabel() == f"Recall@20, axis from {broken.get_ylim()[0]:g}"
    assert 0 < broken.get_ylim()[0] < 0.16
    whole = figure2({"hgcf": {**ABLATION["hgcf"], "structural": Cell([scores(0.05)])}}).axes[0]
    assert (whole.get_ylim()[0], whole.get_ylabel()) == (0.0, "Recall@20")


def test_a_variant_of_one_backbone_is_not_run_on_the_other() -> None:
    figure = figure2({**ABLATION, "hrcf": {"hyperllm": Cell([scores(0.2)])}})
    assert "not run" in texts(figure)
    assert {"HGCF", "HRCF"} <= set(texts(figure))


def test_an_unknown_variant_is_refused() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'no-meta'"):
        figure2({"hgcf": {"no-metta": Cell()}})
    with pytest.raises(ConfigError, match="unknown variant"):
        figure3({"hgcf": [History("best", [0.1], 18)]})


def test_curves_run_over_epochs_steps_and_seconds() -> None:
    ours = History("hyperllm", [0.1, 0.3, 0.2], 10, [2.0, 3.0, 4.0], steps_before=500, seconds_before=60.0)
    theirs = History("base", [0.1, 0.2], 18, published=True)
    epochs, steps, seconds = figure3({"hgcf": [ours, theirs]}).axes
    assert list(epochs.lines[0].get_xdata()) == [1, 2, 3]
    assert list(steps.lines[0].get_xdata()) == pytest.approx([0.51, 0.52, 0.53])
    assert list(seconds.lines[0].get_xdata()) == pytest.approx([62, 65, 69])
    assert [len(axes.lines) for axes in (epochs, steps, seconds)] == [2, 2, 1]
    assert epochs.lines[0].get_markevery() == [1]
    assert [len(axes.patches) for axes in (epochs, steps, seconds)] == [0, 1, 1]
    assert seconds.patches[0].get_width() == pytest.approx(60)


def test_the_key_of_curves_names_ours_first() -> None:
    lines = [History("base", [0.1], 18, published=True), History("base", [0.1], 18), History("hyperllm", [0.2], 18)]
    (key,) = figure3({"hgcf": lines, "hgch": lines}).legends
    assert [text.get_text() for text in key.get_texts()] == ["HyperLLM", "Base", "Base, published"]


def test_seconds_belong_to_epochs() -> None:
    with pytest.raises(MisalignedArrays, match="3 epochs but seconds of 1"):
        History("base", [0.1, 0.2, 0.3], 18, [1.0])


def test_nothing_to_draw_is_said() -> None:
    for empty in (figure2, figure3, figure4, figure5):
        with pytest.raises(DataError, match="at least one"):
            empty({})
    with pytest.raises(DataError, match="finished epoch"):
        figure3({"hgcf": [History("base", [], 18)]})


def groups(*pairs: tuple[float, float]) -> list[Group]:
    return [Group(1200, 3, 3 + n, scores(base), scores(ours)) for n, (base, ours) in enumerate(pairs)]


def test_gains_stand_on_an_axis_of_their_own_with_a_common_scale() -> None:
    figure = figure4({"hgcf": groups((0.1, 0.13), (0.2, 0.22)), "hicf": groups((0.1, 0.11), (0.2, 0.21))})
    left, right = figure.axes[:2]
    gains = [axes for axes in figure.axes if axes.yaxis.get_label_position() == "right"]
    assert bars(left) == pytest.approx([0.1, 0.2, 0.13, 0.22])
    assert bars(right) == pytest.approx([0.1, 0.2, 0.11, 0.21])
    assert list(gains[0].lines[0].get_ydata()) == pytest.approx([30, 10])
    assert gains[0].get_ylim() == gains[1].get_ylim()
    assert gains[0].get_ylim()[0] == left.get_ylim()[0] == 0
    assert any("G1: 3 (1,200 users)   G2: 3–4 (1,200 users)" in text for text in texts(figure))


def test_a_loss_is_below_zero_and_no_base_is_no_gain() -> None:
    lost = figure4({"hgcf": groups((0.2, 0.1), (0.0, 0.1))})
    second = next(axes for axes in lost.axes if axes.yaxis.get_label_position() == "right")
    assert second.get_ylim()[0] < -50
    assert second.lines[0].get_ydata()[0] == pytest.approx(-50)
    assert math.isnan(second.lines[0].get_ydata()[1])


def trees() -> dict[str, clusters.Tree]:
    rng = np.random.default_rng(0)
    shelves = np.repeat(np.eye(3) * 2.0, 20, axis=0)
    return {
        name: clusters.tree(shelves + rng.normal(scale=scale, size=(60, 3)))
        for name, scale in (("A", 0.5), ("B", 0.05))
    }


def test_trees_share_their_colours_and_count_their_clusters() -> None:
    drawn = trees()
    figure = figure5(drawn)
    assert [axes.get_title() for axes in figure.axes[:2]] == [f"{n}: {t.coloured()} clusters" for n, t in drawn.items()]
    first, second = (axes.images[0] for axes in figure.axes[2:4])
    assert first.get_clim() == second.get_clim()
    assert len(figure.axes[1].collections[0].get_segments()) == 59
    assert len({tuple(colour) for colour in figure.axes[1].collections[0].get_colors()}) == drawn["B"].coloured() + 1


def test_the_strip_of_categories_sums_to_one() -> None:
    names = [*["Face"] * 20, *["Hair"] * 20, *["Nails"] * 20]
    figure = figure5(trees(), names)
    strip = figure.axes[3].patches
    thickness = [np.asarray(part.get_data().values) - np.asarray(part.get_data().baseline) for part in strip]
    assert np.allclose(sum(thickness), 1.0)
    assert all(np.isclose(part, 0.0).sum() + np.isclose(part, 1.0).sum() == 60 for part in thickness)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["Face", "Hair", "Nails"]
    unknown = figure5(trees(), [*names[:-1], None])
    assert unknown.legends[0].get_texts()[-1].get_text() == "other or unknown"


def test_the_same_data_gives_the_same_files(tmp_path: Path) -> None:
    before = dict(rcParams)
    first = save(figure2(ABLATION), tmp_path / "new" / "a")
    again = save(figure2(ABLATION), tmp_path / "b")
    assert [path.name for path in first] == ["a.png", "a.svg"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
    words = [element.text for element in ElementTree.parse(first[1]).iter() if element.tag.endswith("}text")]
    assert {"HyperLLM", "w/o Meta", "diverged"} <= set(words)
    assert b"<dc:date>" not in first[1].read_bytes()
    assert dict(rcParams) == before


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigError, match=r"pip install 'hyperllm\[paper\]'"):
        figure2(ABLATION)


def test_matplotlib_waits_for_the_first_figure() -> None:
    code = "import sys, hyperllm.experiments.paper.pictures; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
