"""Paired comparison: intervals that cover, Holm by hand, and tables that read well."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hyperllm.errors import ConfigError, DataError, MisalignedArrays
from hyperllm.evaluation.compare import Test as Kind
from hyperllm.evaluation.compare import bootstrap_interval, compare, holm
from hyperllm.evaluation.tables import escape, latex, text, text_rows


def table(values: np.ndarray, name: str = "recall@20") -> pl.DataFrame:
    return pl.DataFrame({"user_id": [f"u{n}" for n in range(len(values))], name: values})


@pytest.fixture
def three() -> dict[str, pl.DataFrame]:
    rng = np.random.default_rng(0)
    base = rng.random(400)
    return {
        "base": table(base),
        "better": table(base + 0.1 + 0.05 * rng.normal(size=400)),
        "same": table(base + 0.05 * rng.permutation(np.linspace(-1, 1, 400))),
    }


@pytest.mark.parametrize("test", ["wilcoxon", "t"])
def test_finds_the_real_difference_only(three: dict[str, pl.DataFrame], test: Kind) -> None:
    found = compare(three, test=test)
    better, same = found.cell("better", "recall@20"), found.cell("same", "recall@20")
    assert better.low is not None
    assert better.high is not None
    assert better.p_value is not None
    assert 0.09 < better.low < 0.1 < better.high < 0.11
    assert better.p_value < 1e-10
    assert same.p_value is not None
    assert same.p_value > 0.5
    assert [c.mark for c in found.cells].count("best") == 1
    assert better.mark == "best"
    assert found.cell("base", "recall@20").difference is None


def test_row_order_of_the_tables_does_not_matter(three: dict[str, pl.DataFrame]) -> None:
    turned = {name: t.reverse() if name == "better" else t for name, t in three.items()}
    assert compare(turned) == compare(three)


def test_interval_equals_naive_resampling() -> None:
    values = np.random.default_rng(1).normal(size=(60, 2))
    low, high = bootstrap_interval(values, resamples=4000, seed=5)
    rng = np.random.default_rng(9)
    naive = np.array([values[rng.integers(60, size=60)].mean(axis=0) for _ in range(4000)])
    np.testing.assert_allclose(low, np.quantile(naive, 0.025, axis=0), atol=0.03)
    np.testing.assert_allclose(high, np.quantile(naive, 0.975, axis=0), atol=0.03)
    again = bootstrap_interval(values, resamples=4000, seed=5)
    np.testing.assert_array_equal(low, again[0])


def test_paired_t_equals_scipy(three: dict[str, pl.DataFrame]) -> None:
    cell = compare({n: three[n] for n in ("base", "same")}, test="t").cell("same", "recall@20")
    expected = stats.ttest_rel(three["same"]["recall@20"].to_numpy(), three["base"]["recall@20"].to_numpy())[1]
    assert cell.p_value == pytest.approx(expected)


def test_holm_by_hand() -> None:
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03])), [0.03, 0.06, 0.06])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_only_raises_and_keeps_order(p_values: list[float]) -> None:
    raw = np.array(p_values)
    corrected = holm(raw)
    assert (corrected >= raw).all()
    assert (corrected <= 1).all()
    assert (np.diff(corrected[np.argsort(raw, kind="stable")]) >= 0).all()


@pytest.mark.parametrize("test", ["wilcoxon", "t"])
def test_identical_and_shifted_runs(test: Kind) -> None:
    base = np.linspace(0, 1, 20)
    found = compare({"a": table(base), "b": table(base), "c": table(base + 0.5)}, test=test)
    same, shifted = found.cell("b", "recall@20"), found.cell("c", "recall@20")
    assert (same.difference, same.p_value) == (0.0, 1.0)
    assert shifted.p_value is not None
    assert shifted.p_value < 0.001
    assert [c.mark for c in found.cells] == ["second", "second", "best"]


def test_one_user_and_one_run() -> None:
    alone = compare({"a": table(np.array([0.5]))})
    assert (alone.cells[0].mean, alone.cells[0].mark) == (0.5, "")
    pair = compare({"a": table(np.array([0.5])), "b": table(np.array([0.7]))}, test="t")
    assert pair.cells[1].p_value == 1.0


def test_text_and_latex(three: dict[str, pl.DataFrame]) -> None:
    found = compare({"my_base": three["base"], "better": three["better"]})
    drawn = latex(found)
    assert r"my\_base" in drawn
    assert r"\textbf{" in drawn
    assert r"$^{*}$" in drawn
    assert r"\underline{" in drawn
    assert drawn.count(r"\\") == 3
    assert "minus my_base" in text(found)
    assert [r.p_value for r in text_rows(found)] == ["", "<0.0001 *"]
    assert "±" not in text(found)


def test_seeds_are_averaged_user_by_user() -> None:
    base = [table(np.array(values)) for values in ([0.0, 0.2, 0.4], [0.2, 0.4, 0.6])]  # means 0.2 and 0.4
    full = [table(np.array(values)) for values in ([0.3, 0.9, 0.6], [0.5, 0.7, 0.6])]  # both 0.6
    found = compare({"base": base, "full": full})
    first, second = found.cells
    assert (first.mean, first.seeds, first.difference) == (pytest.approx(0.3), 2, None)
    assert first.std == pytest.approx(np.sqrt(0.02))  # deviations ∓ 0.1, over 2 − 1
    assert (second.mean, second.std, second.seeds) == (pytest.approx(0.6), pytest.approx(0.0), 2)
    assert second.difference == pytest.approx(0.3)
    averaged = {"base": table(np.array([0.1, 0.3, 0.5])), "full": table(np.array([0.4, 0.8, 0.6]))}
    alone = compare(averaged).cell("full", "recall@20")
    assert (second.low, second.high, second.p_value) == pytest.approx((alone.low, alone.high, alone.p_value))
    assert (alone.std, alone.seeds) == (None, 1)


@given(st.permutations(range(4)), st.integers(0, 2**16))
def test_the_order_of_seeds_does_not_matter(order: list[int], seed: int) -> None:
    values = np.random.default_rng(seed).integers(4, size=(4, 30)) / 3
    tables = [table(row) for row in values]
    found = compare({"a": tables, "b": [tables[n] for n in order]}, resamples=1).cells
    assert found[1].p_value == 1.0
    assert found[1].std == pytest.approx(found[0].std)


def test_one_seed_in_a_list_is_that_table(three: dict[str, pl.DataFrame]) -> None:
    assert compare({name: [only] for name, only in three.items()}) == compare(three)


def test_more_seeds_are_not_taken_for_a_difference() -> None:
    draws = [table((np.arange(100) % 5 == seed).astype(float)) for seed in range(5)]  # each hits a fifth of the users
    runs = {"five": draws, "one": draws[0]}  # the same mean; 80 differences of -0.2 and 20 of 0.8
    found, ranked = compare(runs, resamples=1), compare(runs, resamples=1, test="wilcoxon")
    p_value, misled = (comparison.cell("one", "recall@20").p_value for comparison in (found, ranked))
    assert (found.test, p_value) == ("t", pytest.approx(1.0))
    assert misled is not None
    assert misled < 0.05


def test_seeds_as_text_and_latex() -> None:
    rng = np.random.default_rng(0)
    low, high = ([table(rng.random(200) + gap) for _ in range(2)] for gap in (0.0, 0.5))
    found = compare({"base": low, "full": high, "one": high[0]})
    rows = text_rows(found)
    assert [row.mean for row in rows[:2]] == [f"{c.mean:.4f} ± {c.std:.4f}" for c in found.cells[:2]]
    assert "±" not in rows[2].mean
    assert "seeds (base 2, full 2)" in text(found)
    full = found.cell("full", "recall@20")
    star = r"$^{*}$"
    assert f"{full.mean:.4f}}}{star} $\\pm$ {full.std:.4f}" in latex(found)
    assert "% mean over 200 users and seeds (base 2, full 2)" in latex(found)


def test_escape() -> None:
    assert escape("a_b & 50%\\") == r"a\_b \& 50\%\textbackslash{}"


def test_wrong_input(three: dict[str, pl.DataFrame]) -> None:
    with pytest.raises(MisalignedArrays, match="399 are in both"):
        compare({"base": three["base"], "short": three["better"].head(399)})
    with pytest.raises(ConfigError, match="Did you mean 'better'"):
        compare(three, reference="beter")
    with pytest.raises(ConfigError, match="Did you mean 'recall@20'"):
        compare(three, metrics=["recal@20"])
    with pytest.raises(ConfigError, match="wilcoxon"):
        compare(three, test="z")  # pyright: ignore[reportArgumentType]
    with pytest.raises(DataError, match="share no metric"):
        compare({"a": three["base"], "b": table(np.zeros(400), "ndcg@20")})
    with pytest.raises(DataError, match="no run"):
        compare({})
    with pytest.raises(DataError, match="'a' has no per-user table"):
        compare({"a": []})
    with pytest.raises(MisalignedArrays, match="'seeds' was measured on 399"):
        compare({"seeds": [three["base"], three["base"].head(399)]})
    with pytest.raises(DataError, match="no column 'user_id'"):
        compare({"a": three["base"].drop("user_id")})
    with pytest.raises(DataError, match="each measured user once"):
        compare({"a": pl.concat([three["base"], three["base"]])})
