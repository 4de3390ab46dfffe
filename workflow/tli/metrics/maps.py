"""Free maps: what lines two languages' vectors up with nothing trained, in closed form and in seconds.

Six rivals of a training, each fitted to the vectors of some pairs and applied to any others: centring, top-components,
whitening, procrustes, ridge, cca. All start from vectors of length 1 less their language's mean over the fitted rows
(Artetxe et al. 2016), and all are held as thin factors: no matrix of d x d is made where there are fewer pairs than dimensions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tli.metrics.rotation import least_rotation
from tli.metrics.thin import Thin, centred, thin
from tli.metrics.vectors import Vectors


@dataclass(frozen=True, eq=False)
class Side:
    """One language's half of a map: x -> scale c + c F1 F2 ..., where c = x / |x| - mean."""

    mean: np.ndarray  # [d]
    scale: float = 1.0
    factors: tuple[np.ndarray, ...] = ()  # F1 [d, r], ..., Fk [r, e]

    def apply(self, vectors: np.ndarray) -> np.ndarray:
        """Images [n, e] of `vectors` [n, d], float32."""
        rows = centred(vectors, self.mean)
        if not self.factors:
            return (self.scale * rows).astype(np.float32)
        image = rows
        for factor in self.factors:
            image = image @ factor
        return (self.scale * rows + image if self.scale else image).astype(np.float32)


@dataclass(frozen=True, eq=False)
class FittedMap:
    """A map of both languages into a space where they are compared by cosine."""

    name: str
    hyperparameter: float
    source: Side
    target: Side

    def apply(self, source_vectors: np.ndarray, target_vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Images of [n, d] and [m, d], float32; row by row, so that what else is mapped does not matter."""
        return self.source.apply(source_vectors), self.target.apply(target_vectors)

    def vectors(self, vectors: Vectors) -> Vectors:
        """The images of a list's forms; references are of the target language."""
        reference = None if vectors.reference is None else self.target.apply(vectors.reference)
        return Vectors(self.source.apply(vectors.source), self.target.apply(vectors.target), reference)

    @property
    def leaves_target(self) -> bool:
        """The target language is only centred, so that a source vector has an image among the target's own vectors."""
        return not self.target.factors

    def image(self, source_vectors: np.ndarray) -> np.ndarray:
        """Source vectors [n, d] as vectors of the target language, at their own lengths: for a map inside the model.

        x -> |x| n(m_t + W (x / |x| - m_s)), n(y) = y / |y|; a vector of length 0 stays what it is. ValueError for a map that moves the target language too (see `leaves_target`).
        """
        if not self.leaves_target:
            raise ValueError(f"{self.name} moves the target language too: a source vector has no image among the target's own")
        lengths = np.linalg.norm(np.asarray(source_vectors, np.float64), axis=1, keepdims=True)
        image = self.target.mean + self.source.apply(source_vectors)
        return (lengths * image / np.maximum(np.linalg.norm(image, axis=1, keepdims=True), np.finfo(float).tiny)).astype(np.float32)


@dataclass(frozen=True)
class Kind:
    """A sort of map: how it is fitted, whether it looks at which row belongs to which, and its hyperparameters, simplest first."""

    fit: Callable[[Thin, Thin, float], tuple[Side, Side]]
    paired: bool  # then its twin on shuffled pairs says what the fitting alone gives
    grid: Callable[[int, int], tuple[float, ...]]  # of the rows n and the dimensions d


def fit(name: str, source: np.ndarray, target: np.ndarray, hyperparameter: float) -> FittedMap:
    """Fit a map of KINDS to pairs: source [n, d], target [n, d], row by row; a twin gets the target's rows in another order.

    hyperparameter: see the function that fits the map; NaN for centring. ValueError for fewer than 2 rows, shapes that do
    not fit, vectors that are not finite.
    """
    if np.shape(source) != np.shape(target) or np.ndim(source) != 2 or len(source) < 2:
        raise ValueError(f"source has shape {np.shape(source)}, target {np.shape(target)}; a map is fitted to [n, d] of both, n at least 2")
    return fit_thin(name, thin(source), thin(target), hyperparameter)


def fit_thin(name: str, source: Thin, target: Thin, hyperparameter: float) -> FittedMap:
    """As `fit`, from factors that serve several maps."""
    return FittedMap(name, float(hyperparameter), *KINDS[name].fit(source, target, hyperparameter))


def _centring(source: Thin, target: Thin, _: float) -> tuple[Side, Side]:
    """Each language less its mean (Libovicky et al. 2020, arXiv:2004.05160)."""
    return Side(source.mean), Side(target.mean)


def _top_components(source: Thin, target: Thin, number: float) -> tuple[Side, Side]:
    """Each language less its mean and its `number` largest principal components: all-but-the-top (Mu & Viswanath 2018)."""

    def side(one: Thin) -> Side:
        top = one.right[:, : int(number)]
        return Side(one.mean, 1.0, (top, -top.T))

    return side(source), side(target)


def _whitening(source: Thin, target: Thin, shrinkage: float) -> tuple[Side, Side]:
    """Each language times C^(-1/2), C = (1 - a) S + a tr(S) / d I, S its covariance, a = `shrinkage` in (0, 1].

    Up to a factor, which no cosine sees: sqrt(a tr(S) / d) C^(-1/2), the identity outside of the rows' span.
    """

    def side(one: Thin) -> Side:
        variances = one.values**2 / len(one.left)
        floor = shrinkage * variances.sum() / len(one.mean)
        factors = np.sqrt(floor / ((1 - shrinkage) * variances + floor)) - 1
        return Side(one.mean, 1.0, (one.right, np.diag(factors), one.right.T))

    return side(source), side(target)


def _procrustes(source: Thin, target: Thin, number: float) -> tuple[Side, Side]:
    """The rotation that brings the source's `number` main directions nearest to the target's, and else turns least.

    max tr(W' X'Y) over orthogonal W (Schoenemann 1966; Artetxe et al. 2016), X and Y cut to their `number` largest principal
    components. X'Y fixes W on that span alone; see `least_rotation` for the rest. With all components and at least as many
    rows as dimensions it is the ordinary Procrustes rotation.
    """
    s, t = source.cut(number), target.cut(number)
    p, _, q = np.linalg.svd((s.values[:, None] * (s.left.T @ t.left)) * t.values, full_matrices=False)
    return Side(source.mean, 1.0, least_rotation(s.right @ p, t.right @ q.T)), Side(target.mean)


def _ridge(source: Thin, target: Thin, ratio: float) -> tuple[Side, Side]:
    """The linear map of least |XW - Y|^2 + a |W|^2 with an intercept (Hoerl & Kennard 1970); a is `ratio` times the mean |x|^2 of the centred rows."""
    penalty = ratio * (source.values**2).sum() / len(source.left)
    filtered = (source.values / (source.values**2 + penalty))[:, None] * (source.left.T @ target.left) * target.values
    return Side(source.mean, 0.0, (source.right, filtered, target.right.T)), Side(target.mean)


def _cca(source: Thin, target: Thin, number: float) -> tuple[Side, Side]:
    """Canonical variates of the two languages, each cut to its `number` largest principal components (Faruqui & Dyer 2014)."""
    number = min(number, len(source.values), len(target.values))
    s, t = source.cut(number), target.cut(number)
    a, _, b = np.linalg.svd(s.left.T @ t.left)
    root = np.sqrt(len(s.left))
    return (
        Side(s.mean, 0.0, (s.right, (root / s.values)[:, None] * a)),
        Side(t.mean, 0.0, (t.right, (root / t.values)[:, None] * b.T)),
    )


def _numbers(*numbers: int, share: float = 1.0) -> Callable[[int, int], tuple[float, ...]]:
    """Those of `numbers` below `share` of what the rows span at the most."""
    return lambda n, d: tuple(float(number) for number in numbers if number < share * min(n - 1, d))


def _and_all(*numbers: int) -> Callable[[int, int], tuple[float, ...]]:
    return lambda n, d: (*_numbers(*numbers)(n, d), float(min(n - 1, d)))


KINDS = {
    "centring": Kind(_centring, False, lambda n, d: (float("nan"),)),
    "top-components": Kind(_top_components, False, _numbers(1, 2, 3, 5, 8, 13, 21, 40, share=0.5)),
    "whitening": Kind(_whitening, False, lambda n, d: (0.9, 0.5, 0.2, 0.1, 0.05, 0.01)),
    "procrustes": Kind(_procrustes, True, _and_all(16, 64, 256, 1024)),
    "ridge": Kind(_ridge, True, lambda n, d: (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01)),
    "cca": Kind(_cca, True, _and_all(8, 16, 32, 64, 128, 256, 512, 1024)),
}
