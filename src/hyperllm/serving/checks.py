"""What is wrong with the parts of a model, in one sentence each.

Knows which shapes and values fit together. Does not know where the parts come from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from hyperllm.errors import ConfigError, DataError, MisalignedArrays
from hyperllm.serving.product import raised

if TYPE_CHECKING:
    from hyperllm.serving.model import ScoreModel, Vectors


def columns(vectors: Vectors) -> int:
    """Columns of a matrix, −1 where it is none."""
    shape = cast(tuple[int, ...], vectors.shape)
    return shape[1] if len(shape) == 2 else -1


def check_shapes(model: ScoreModel) -> None:
    """Raise `MisalignedArrays` where matrices, ids, catalogue, tags and the rest differ in length."""
    users, items = len(model.users), len(model.items)
    wanted = {
        "user_vectors": (users, columns(model.item_vectors)),
        "item_vectors": (items, columns(model.user_vectors)),
        "seen": (users, items),
    }
    for name, shape in wanted.items():
        found = getattr(model, name).shape
        if found != shape:
            raise MisalignedArrays(f"{name} has shape {found}; expected {shape} for {users:,} users, {items:,} items.")
    if model.catalog.items != model.items:
        raise MisalignedArrays("the catalogue is one of other items than the model has.")
    if model.content is not None and len(model.content.vectors) != items:
        raise MisalignedArrays(f"there are {len(model.content.vectors):,} text vectors for {items:,} items.")
    if model.linear is not None and (len(model.linear.weights), len(model.linear.shrink)) != (items, model.flat):
        raise MisalignedArrays(f"the linear expert's inputs fit neither {items:,} items nor {model.flat} factors.")
    if model.tags is not None and model.tags.items != model.items:
        raise MisalignedArrays("the tags belong to other items than the model has; export it again with its own tags.")


def check_flat(model: ScoreModel) -> None:
    """Raise `ConfigError` where factors stand beside no point."""
    width = model.item_vectors.shape[1]
    if model.flat and (model.geometry == "inner" or not 0 < model.flat < width):
        raise ConfigError(
            f"flat is {model.flat} for vectors of {width} columns and geometry {model.geometry!r}; expected 0, or "
            "with 'lorentz' fewer than all columns: factors stand beside a point of the hyperboloid."
        )


def check_values(what: str, vectors: Vectors, curved: int) -> None:
    """Raise `DataError` unless vectors are finite float32, their first ``curved`` columns points of the hyperboloid."""
    values = vectors if isinstance(vectors, np.ndarray) else np.asarray(vectors.data)
    if values.dtype != np.float32:
        raise DataError(f"{what} vectors are {values.dtype}; expected float32.")
    if not np.isfinite(values).all():
        raise DataError(f"{what} vectors hold a value that is not finite. Did training diverge?")
    if not curved:
        return
    if not isinstance(vectors, np.ndarray):
        raise DataError(f"{what} vectors are sparse; points of the hyperboloid are dense.")
    on = raised(vectors[:, :curved].astype(np.float64))[:, 0]
    off = np.abs(on - vectors[:, 0]) > 1e-3 * on
    if off.any():
        row = int(off.argmax())
        raise DataError(
            f"{what} row {row} is not on the unit hyperboloid: its time coordinate is {vectors[row, 0]:.4g}, expected "
            f"{on[row]:.4g}. Before export, Poincaré points need their isometry and a curvature of minus c a factor √c."
        )
