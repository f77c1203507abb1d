"""A detector of novel vectors: fitted to normal ones alone, with valid p-values."""

from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.novelty.combination import RankGauss
from flowjax_ood.novelty.density import Density, FlowSettings
from flowjax_ood.novelty.parts import (
    ROWS,
    Band,
    Clusters,
    Coordinates,
    Distance,
    Neighbours,
    Part,
    Projection,
    Residual,
    drawn,
)
from flowjax_ood.ood.batched import compiled, in_batches
from flowjax_ood.ood.calibration import Calibration
from flowjax_ood.ood.features import checked
from flowjax_ood.ood.flows.neighbours import k_means
from flowjax_ood.ood.p_values import two_sided_p

# vectors scored together
BATCH = 512
# vectors to fit to, and to calibrate by, at least: of 19, p-values reach 0.05
LEAST_FITTED, LEAST_CALIBRATED = 20, 19
# share of all that calibrates, and how many at most
CALIBRATED, MOST_CALIBRATED = 0.4, 2000
# where so many are to be fitted to, a share of them ranks statistics and is not fitted
# to; fewer are fitted in folds, each ranked by the rest, and then all together
HOLD_OUT, RANKED, FOLDS = 1000, 0.2, 5
# weight of low distances. Of 0, 1 and 3, the highest mean AUROC over the kinds of the
# battery that are seen and told, of 300, 2,000 and 10,000 images of clothing
FAR = 3.0
# edges of the bands of principal components
EDGES = (0, 4, 16, 64)


@dataclass(frozen=True)
class NoveltySettings:
    """What a `NoveltyDetector` is made of.

    `components`: principal components kept. `near`: of how many distances are.
    `neighbours`: the k-th nearest counts. `clusters`: of k-means, where no classes are
    given; 0 leaves them out. `whiten`, `standardize`: as in `Projection`. `flow`: a
    density of components; it takes 1,000 vectors, and None leaves it out.
    """

    components: int = 256
    near: int = 64
    neighbours: int = 5
    clusters: int = 30
    whiten: bool = True
    standardize: bool = True
    flow: FlowSettings | None = field(default_factory=FlowSettings)
    seed: int = 0


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["projection", "parts", "combination"],
    meta_fields=["names"],
)
@dataclass(frozen=True)
class NoveltyModel:
    """The pure part: J statistics of vectors, and their combination. A pytree."""

    projection: Projection
    names: tuple[str, ...]
    parts: tuple[Part, ...]
    combination: RankGauss | None = None

    def values(self, x: jax.Array) -> jax.Array:
        """Statistics of vectors `[B, D]`: `[B, J]`, higher is more normal."""
        at = self.projection(x)
        return jnp.stack([part.score(at) for part in self.parts], 1)

    def both(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """`(score [B], statistics [B, J])`; higher is more normal."""
        values = self.values(x)
        return self.combination.score(values), values

    def part(self, name: str) -> Part:
        return self.parts[self.names.index(name)]


@dataclass(frozen=True, eq=False)
class NoveltyDetector:
    """Fitted to normal vectors; `p_values` of new ones hold whatever the vectors' law.

    Of vectors that are exchangeable with those that calibrate, at most a share alpha
    has a p-value of alpha or less. `ranked [m, J]`: statistics of normal vectors that
    these were not fitted to; `references`: which of the vectors given to `fit` are
    those that `nearest` finds; `fitted`: how many were given.
    """

    settings: NoveltySettings
    model: NoveltyModel
    ranked: np.ndarray
    references: np.ndarray
    calibration: Calibration
    fitted: int

    @classmethod
    def fit(
        cls,
        x,
        settings: NoveltySettings | None = None,
        *,
        calibrate,
        labels=None,
        label: str | None = None,
    ) -> "NoveltyDetector":
        """Fit to normal vectors and calibrate by others.

        Args:
            x: finite numbers `[n, D]`, 20 at least.
            settings: by default `NoveltySettings()`.
            calibrate: others `[c, D]`, 19 at least, exchangeable with `x`.
            labels: integers `[n]`, classes of `x`; they take the place of clusters.
            label: of the progress shown; None shows none.

        Raises:
            TypeError: vectors that are no real numbers.
            ValueError: too few, not finite, all equal, or calibrating vectors that
                are among those to fit to.
        """
        settings = NoveltySettings() if settings is None else settings
        x = np.asarray(checked(x), np.float32)
        held_out = np.asarray(checked(calibrate, x.shape[1]), np.float32)
        check_counts(len(x), len(held_out))
        _check_disjoint(x, held_out)
        if labels is not None:
            labels = np.unique(np.asarray(labels), return_inverse=True)[1]
        model, ranked, references = _fit(x, labels, settings, label)
        calibration = Calibration.fit(_scores(model, held_out)[0])
        return cls(settings, model, ranked, references, calibration, len(x))

    @property
    def names(self) -> tuple[str, ...]:
        """What the statistics are called, in the order of `values`."""
        return self.model.names

    @property
    def dims(self) -> int:
        return len(self.model.projection.mean)

    def scores(self, x) -> tuple[np.ndarray, np.ndarray]:
        """`(score [N], statistics [N, J])`, float64; higher is more normal."""
        x = np.asarray(checked(x, self.dims), np.float32)
        return _scores(self.model, x)

    def score(self, x) -> np.ndarray:
        """Score vectors `[N, D]`: float64 `[N]`, higher is more normal."""
        return self.scores(x)[0]

    def p_values(self, x) -> np.ndarray:
        """p-values of vectors `[N, D]`: the share of normal ones as unusual."""
        return self.calibration.p_values(self.score(x))

    def explain(self, values: np.ndarray) -> dict[str, np.ndarray]:
        """Which statistic spoke: the two-sided p-value of each, of `values [N, J]`."""
        return {
            name: two_sided_p(values[:, j], self.ranked[:, j])
            for j, name in enumerate(self.names)
        }

    def nearest(self, x, count: int = 3) -> np.ndarray:
        """Numbers of the nearest of the vectors given to `fit`: `[N, count]`.

        Of more than 10,000, those are looked at that it keeps. Fewer than `count`
        columns where there are fewer.
        """
        x = np.asarray(checked(x, self.dims), np.float32)
        part = self.model.part("neighbours")
        part = replace(part, k=min(count, len(part.references)))
        find = partial(_nearest, self.model.projection, part)
        return self.references[in_batches(find, x, BATCH)]


def calibration_count(total: int) -> int:
    """How many of `total` normal vectors are to calibrate."""
    share = round(CALIBRATED * total)
    return max(LEAST_CALIBRATED, min(share, MOST_CALIBRATED))


def check_counts(fitted: int, calibrated: int) -> None:
    """Raise ValueError for too few vectors to fit to, or to calibrate by."""
    if fitted < LEAST_FITTED or calibrated < LEAST_CALIBRATED:
        raise ValueError(
            f"a detector takes {LEAST_FITTED} normal examples to fit to and "
            f"{LEAST_CALIBRATED} others to calibrate by, got {fitted} and "
            f"{calibrated}: give more"
        )


def _fit(x, labels, settings, label) -> tuple[NoveltyModel, np.ndarray, np.ndarray]:
    """The model, the statistics that rank, and the rows that are references."""
    order = np.random.default_rng(settings.seed).permutation(len(x))
    if len(x) >= HOLD_OUT:
        ranking, fitted = np.split(order, [int(RANKED * len(x))])
        fitted = np.sort(fitted)
        model, kept = _parts(x, labels, fitted, len(fitted), settings, label)
        ranked = _values(model, x[ranking])
    else:
        folds = np.array_split(order, FOLDS)
        size = len(x) - max(map(len, folds))
        ranked = []
        for fold in folds:
            # of the same number in every fold: one program serves all
            others = np.setdiff1d(order, fold)[:size]
            model, _ = _parts(x, labels, others, size, settings, None)
            ranked.append(_values(model, x[fold]))
        ranked = np.concatenate(ranked)
        model, kept = _parts(x, labels, np.arange(len(x)), size, settings, label)
    # one that never varies ranks nothing
    varies = ranked.std(0) > 0
    if not varies.any():
        raise ValueError("no statistic of these vectors varies: give other vectors")
    names, parts = (
        tuple(a for a, v in zip(b, varies, strict=True) if v)
        for b in (model.names, model.parts)
    )
    ranked = ranked[:, varies]
    weights = [FAR * isinstance(part, Distance) for part in parts]
    combination = RankGauss.fit(ranked, weights)
    model = replace(model, names=names, parts=parts, combination=combination)
    return model, ranked, kept


def _parts(
    x, labels, rows, size: int, settings, label
) -> tuple[NoveltyModel, np.ndarray]:
    """Fit all parts to some rows; and which of them are references.

    Which parts there are depends on `size`, the least number that any of the models is
    fitted to, so that those of all folds agree.
    """
    fitted = x[rows]
    projection = Projection.fit(
        fitted,
        # of half as many as there are vectors: the rest would be noise of few
        components=max(2, min(settings.components, size // 2)),
        near=settings.near,
        whiten=settings.whiten,
        standardize=settings.standardize,
        seed=settings.seed,
    )
    at = _coordinates(projection, fitted)
    rank = at.values.shape[1]
    edges = [edge for edge in EDGES if edge < rank] + [rank]
    parts: dict[str, Part] = {
        f"components {low + 1}-{high}": Band(low, high) for low, high in pairwise(edges)
    }
    if rank < x.shape[1]:
        parts["residual"] = Residual()
    kept = drawn(np.arange(len(fitted)), ROWS, settings.seed)
    parts["neighbours"] = Neighbours.fit(at.near[kept], settings.neighbours)
    groups = None
    if labels is not None:
        groups = labels[rows]
    elif settings.clusters and size >= 10 * settings.clusters:
        groups = k_means(at.near.astype(np.float64), settings.clusters, settings.seed)
    if groups is not None:
        parts["clusters"] = Clusters.fit(at.near, groups)
    if settings.flow is not None and size >= (1 - RANKED) * HOLD_OUT and rank > 1:
        parts["flow"] = Density.fit(at.values, settings.flow, settings.seed, label)
    return NoveltyModel(projection, tuple(parts), tuple(parts.values())), rows[kept]


@compiled
def _project(projection: Projection, x) -> Coordinates:
    return projection(x)


@compiled
def _run(model: NoveltyModel, x) -> tuple[jax.Array, jax.Array]:
    return model.both(x)


@compiled
def _run_values(model: NoveltyModel, x) -> jax.Array:
    return model.values(x)


@compiled
def _nearest(projection: Projection, part: Neighbours, x) -> jax.Array:
    return part.nearest(projection(x).near)[1]


def _coordinates(projection: Projection, x: np.ndarray) -> Coordinates:
    return in_batches(partial(_project, projection), x, BATCH)


def _values(model: NoveltyModel, x: np.ndarray) -> np.ndarray:
    return np.asarray(in_batches(partial(_run_values, model), x, BATCH), np.float64)


def _scores(model: NoveltyModel, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    score, values = in_batches(partial(_run, model), x, BATCH)
    return np.asarray(score, np.float64), np.asarray(values, np.float64)


def _check_disjoint(x: np.ndarray, held_out: np.ndarray) -> None:
    known = {row.tobytes() for row in x}
    same = np.array([row.tobytes() in known for row in held_out])
    if same.any():
        raise ValueError(
            f"{same.sum()} of {len(same)} calibrating vectors are among those to fit "
            f"to, the first is number {int(same.argmax())}: leave them out"
        )
