"""A phase-1 file is read row for row, or refused in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hyperllm.errors import DataError, MisalignedArrays
from hyperllm.frameworks.phase1 import Phase1Vectors
from hyperllm.geometry import lorentz
from hyperllm.ids import Vocabulary

USERS, ITEMS = Vocabulary.of(range(4)), Vocabulary.of(range(3))


def arrays(**changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    users, items = (rng.standard_normal((n, 5)).astype(np.float32) for n in (4, 3))
    found = {"users": users, "items": items, **changes}
    return {name: value for name, value in found.items() if value is not None}


def written(folder: Path, **changes: Any) -> Path:
    np.savez(folder / "p.npz", **arrays(**changes))
    return folder / "p.npz"


def load(path: Path, users: Vocabulary = USERS, items: Vocabulary = ITEMS) -> Phase1Vectors:
    return Phase1Vectors.load(path, users=users, items=items)


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    users, items = Vocabulary(("10", "9", "100", "2")), Vocabulary(("b", "a", "7"))
    for flag in (True, False):
        kept = Phase1Vectors(**arrays(), time_coordinate=flag)
        kept.save(tmp_path / "p.npz", users=users, items=items)
        found = load(tmp_path / "p.npz", users, items)
        np.testing.assert_array_equal(found.users, kept.users)
        np.testing.assert_array_equal(found.items, kept.items)
        assert found.time_coordinate == flag


def test_row_r_belongs_to_the_rth_id_in_ascending_numeric_order(tmp_path: Path) -> None:
    shuffled = Vocabulary(("10", "9", "100", "2"))
    found = load(written(tmp_path), shuffled)
    expected = arrays()["users"]
    for rank, value in enumerate(("2", "9", "10", "100")):
        np.testing.assert_array_equal(found.users[shuffled.rows([value])[0]], expected[rank])


def test_a_file_without_a_flag_is_the_published_codes_and_has_a_time_coordinate(tmp_path: Path) -> None:
    assert load(written(tmp_path)).time_coordinate


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"users": np.ones((5, 5), np.float32)}, MisalignedArrays, r"users has shape \(5, 5\).*4 users"),
        ({"items": np.ones((2, 5), np.float32)}, MisalignedArrays, r"items has shape \(2, 5\).*3 items"),
        ({"items": np.ones((3, 4), np.float32)}, MisalignedArrays, "users have 5 columns, items 4"),
        ({"users": np.ones(4, np.float32)}, MisalignedArrays, r"shape \(4,\)"),
        ({"users": np.full((4, 5), np.nan, np.float32)}, DataError, "users hold a value that is not finite"),
        ({"items": np.full((3, 5), np.inf, np.float32)}, DataError, "items hold a value that is not finite"),
        ({"items": None}, DataError, r"holds \['users'\]; expected arrays users and items"),
        ({"users": np.array([["a"] * 5] * 4)}, DataError, "users hold <U1"),
        ({"users": np.array([[None] * 5] * 4)}, DataError, "cannot be read"),
    ],
)
def test_a_wrong_file_is_refused_with_what_is_wrong(
    tmp_path: Path, changes: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        load(written(tmp_path, **changes))


@pytest.mark.parametrize("kept", [0, 1, 50, -30, -1])
def test_a_truncated_file_is_refused(tmp_path: Path, kept: int) -> None:
    path = written(tmp_path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match=r"cannot be read as \.npz"):
        load(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", np.ones(3))
    (tmp_path / "p.txt").write_text("users,items")
    for name in ("p.npy", "p.txt", "absent.npz"):
        with pytest.raises(DataError, match=r"cannot be read as \.npz"):
            load(tmp_path / name)


def test_phase_2_starts_without_the_time_column() -> None:
    vectors = Phase1Vectors(**arrays(), time_coordinate=True)
    expected = np.concatenate([vectors.users, vectors.items])
    np.testing.assert_array_equal(vectors.start().numpy(), expected[:, 1:])
    plain = Phase1Vectors(**arrays(), time_coordinate=False)
    np.testing.assert_array_equal(plain.start().numpy(), expected)
    np.testing.assert_array_equal(plain.start(compat=True).numpy(), expected)


def test_in_compat_the_time_column_lengthens_the_start() -> None:
    vectors = Phase1Vectors(np.array([[0.6, 1.0, 0.0]], np.float32), np.array([[0.0, 0.3, 0.4]], np.float32), True)
    start = vectors.start(compat=True)
    assert start.shape == (2, 2)
    assert start[0].norm().item() == pytest.approx(np.arcsinh(np.sinh(0.8) / 0.8), rel=1e-5)
    torch.testing.assert_close(start[1], torch.tensor([0.3, 0.4]))
    points = lorentz.expmap0_with_time(torch.from_numpy(np.concatenate([vectors.users, vectors.items])), radius=1.5)
    torch.testing.assert_close(start, lorentz.logmap0(points))


def test_start_radii_are_means_over_users_and_over_items() -> None:
    vectors = Phase1Vectors(**arrays(), time_coordinate=False)
    start = vectors.start(user_radius=0.4, item_radius=1.4)
    assert start[:4].norm(dim=1).mean().item() == pytest.approx(0.4, rel=1e-5)
    assert start[4:].norm(dim=1).mean().item() == pytest.approx(1.4, rel=1e-5)
    directions = torch.nn.functional.normalize(torch.from_numpy(np.concatenate([vectors.users, vectors.items])), dim=1)
    torch.testing.assert_close(torch.nn.functional.normalize(start, dim=1), directions)
