"""A user the model was not trained with, from a list of items: where such a history puts a trained user.

Knows users, items and histories of a trained model. Does not know who the new users are. Three kinds of columns:

* points of the hyperboloid, or dense inner-product vectors: a ridge regression, fitted to the trained users, from the
  mean of a history's item vectors (tangent vectors at the origin) to the user's own. It works for every backbone and
  framework, since it asks only what the trained model did with its users' histories.
* factors of a linear expert: exact, Σ of what each item puts in (`content.LinearInputs`), scaled as in training; by a
  regression too where a model was kept without these inputs.
* histories themselves (item–item models): exact.

Shapes: U users, I items, b histories, d columns of points, f factors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import sparse

from hyperllm.data.interactions import Pairs
from hyperllm.ids import Rows
from hyperllm.serving.model import ScoreModel, Vectors
from hyperllm.serving.product import Doubles, expmap0, flipped, tangents

_LEARNED_FROM = 50_000
_RIDGE = 1e-3


@dataclass(frozen=True, eq=False)
class Folding:
    """What a history becomes in one model; fitted when it is first asked."""

    model: ScoreModel

    def vectors(self, histories: sparse.csr_matrix) -> Vectors:
        """User vectors (b, columns) of binary ``histories`` (b, I), as ``model.user_vectors`` has them.

        Without items a user stands at the mean of the trained ones (that of their tangent vectors).
        """
        model = self.model
        if not isinstance(model.user_vectors, np.ndarray):
            return sparse.csr_matrix(histories[:, : model.item_vectors.shape[1]], dtype=np.float32)
        points = self._raised(self._points_map.of(histories, self._items))
        if not model.flat:
            return points.astype(np.float32)
        if model.linear is None:
            factors = self._factors_map.of(histories, self._item_factors)
        else:
            factors = self._factors(histories, points)
        return np.concatenate([points, factors], axis=1).astype(np.float32)

    @cached_property
    def _points_map(self) -> _Regression:
        """From mean tangent vectors of items to those of users."""
        users = self._learned_from
        told = tangents(self.model.user_points[users], curved=self.model.curved > 0)
        return _Regression.fit(self.model.seen[users], self._items, told)

    @cached_property
    def _factors_map(self) -> _Regression:
        """The same for factors."""
        users = self._learned_from
        told = np.asarray(self.model.user_vectors[users], dtype=np.float64)[:, self.model.curved :]
        return _Regression.fit(self.model.seen[users], self._item_factors, told)

    @cached_property
    def _learned_from(self) -> Rows:
        """Users with a history; of many, 50,000 evenly spaced."""
        return _spaced(np.flatnonzero(np.diff(self.model.seen.indptr) > 0))

    @cached_property
    def _item_factors(self) -> Doubles:
        """(I, f) factors of the items."""
        return np.asarray(self.model.item_vectors[:, self.model.curved :], dtype=np.float64)

    @cached_property
    def _items(self) -> Doubles:
        """(I, d) tangent vectors of the items."""
        return tangents(self.model.item_points, curved=self.model.curved > 0)

    def _raised(self, tangent: Doubles) -> Doubles:
        """Tangent vectors (b, d) as points (b, 1 + d), or as they are with ``inner``."""
        return expmap0(tangent) if self.model.curved else tangent

    def _factors(self, histories: sparse.csr_matrix, points: Doubles) -> Doubles:
        """(b, f) what the histories put into the linear expert, weighed against the points as in training."""
        model = self.model
        assert model.linear is not None, "only a fused model has factors"
        weighted = sparse.csr_matrix(histories.multiply(model.linear.weights[None, :]), dtype=np.float32)
        factors = np.asarray(weighted @ model.item_vectors[:, model.curved :], dtype=np.float64) * model.linear.shrink
        spreads = (_spread(flipped(points.copy()), self._covariances[0]), _spread(factors, self._covariances[1]))
        ratio = spreads[0] / np.maximum(spreads[1], 1e-12)
        return factors * (model.linear.share * ratio)[:, None]

    @cached_property
    def _covariances(self) -> tuple[Doubles, Doubles]:
        """Of the points and of the factors of items that somebody clicked."""
        model = self.model
        clicked = _spaced(np.flatnonzero(model.clicks > 0))
        vectors = model.item_vectors[clicked].astype(np.float64)
        parts = vectors[:, : model.curved], vectors[:, model.curved :]
        first, second = (np.atleast_2d(np.cov(part.T, bias=True)) for part in parts)
        return first, second


def folded(model: ScoreModel, given: Pairs) -> ScoreModel:
    """The model with the users of ``given`` folded in from these pairs, which then count as seen."""
    users = np.unique(given.user)
    shape = len(model.users), len(model.items)
    told = given.matrix(*shape)
    vectors = Folding(model).vectors(told[users])
    if isinstance(model.user_vectors, np.ndarray) and isinstance(vectors, np.ndarray):
        everybody: Vectors = np.array(model.user_vectors)
        everybody[users] = vectors
    else:
        stay = sparse.diags_array(~np.isin(np.arange(shape[0]), users), dtype=np.float32)
        put = sparse.csr_array((np.ones(len(users)), (users, np.arange(len(users)))), shape=(shape[0], len(users)))
        everybody = sparse.csr_matrix(stay @ model.user_vectors + put @ vectors, dtype=np.float32)
    seen = sparse.csr_matrix((model.seen + told) > 0, dtype=np.float32)
    return replace(model, user_vectors=everybody, seen=seen)


def history_matrix(histories: Sequence[Rows], items: int) -> sparse.csr_matrix:
    """Binary (b, I) of lists of item rows; an item that stands twice counts once."""
    distinct = [np.unique(rows) for rows in histories]
    indptr = np.cumsum([0, *map(len, distinct)])
    indices = np.concatenate(distinct) if distinct else np.empty(0, dtype=np.int64)
    return sparse.csr_matrix((np.ones(len(indices), dtype=np.float32), indices, indptr), shape=(len(distinct), items))


@dataclass(frozen=True, eq=False)
class _Regression:
    """Ridge regression from the mean item vector of a history to a vector of its user, both about their means."""

    start: Doubles
    weights: Doubles
    end: Doubles

    @classmethod
    def fit(cls, histories: sparse.csr_matrix, items: Doubles, told: Doubles) -> _Regression:
        """From histories (n, I), none of them empty, item vectors (I, d) and the users' vectors ``told`` (n, e)."""
        known = _mean_items(histories, items)
        start, end = (part.mean(axis=0) if len(part) else np.zeros(part.shape[1]) for part in (known, told))
        away = known - start
        gram = away.T @ away
        ridge = (_RIDGE * np.trace(gram) / len(gram) + 1e-12) * np.eye(len(gram))
        return cls(start, np.linalg.solve(gram + ridge, away.T @ (told - end)), end)

    def of(self, histories: sparse.csr_matrix, items: Doubles) -> Doubles:
        """(b, e) vectors of histories (b, I); the mean of all where there are no items."""
        away = _mean_items(histories, items) - self.start
        away[np.diff(histories.indptr) == 0] = 0.0
        return self.end + away @ self.weights


def _mean_items(histories: sparse.csr_matrix, items: Doubles) -> Doubles:
    """(b, d) mean vectors of histories over item vectors (I, d), 0 without any."""
    return np.asarray(histories @ items) / np.maximum(np.diff(histories.indptr), 1)[:, None]


def _spaced(rows: Rows) -> Rows:
    """At most 50,000 of the rows, evenly spaced."""
    few = len(rows) <= _LEARNED_FROM
    return rows if few else rows[np.linspace(0, len(rows) - 1, _LEARNED_FROM).astype(np.int64)]


def _spread(queries: Doubles, covariance: Doubles) -> Doubles:
    """Standard deviation (b,) of each query's products with items of this covariance."""
    return np.sqrt(np.maximum(np.einsum("bd,bd->b", queries @ covariance, queries), 0.0))
