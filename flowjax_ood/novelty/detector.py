"""A detector of novel vectors: fitted to normal ones alone, with valid p-values."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.novelty.calibration import (
    LEAST_CALIBRATED,
    NormalScores,
    find_repeated,
)
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
from flowjax_ood.ood.batched import compiled, in_blocks
from flowjax_ood.ood.features import checked
from flowjax_ood.ood.flows.neighbours import k_means
from flowjax_ood.ood.p_values import two_sided_p

# vectors computed together, always so many: a score depends on the shape of its batch
# in the last bits
BATCH = 256
# vectors to fit to, at least
LEAST_FITTED = 20
# statistics beyond it, and those that are not numbers, are as far as can be
FARTHEST = 1e30
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
    density of components; it takes 1,000 vectors, and None leaves it out. `columns`:
    `(first, behind the last)` of the numbers that this is of, None of all; `name`: of
    these, where there are several views of an example.
    """

    components: int = 256
    near: int = 64
    neighbours: int = 5
    clusters: int = 30
    whiten: bool = True
    standardize: bool = True
    flow: FlowSettings | None = field(default_factory=FlowSettings)
    seed: int = 0
    name: str = ""
    columns: tuple[int, int] | None = None


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["projection", "parts"],
    meta_fields=["low", "high", "names"],
)
@dataclass(frozen=True)
class View:
    """Statistics of columns low ... high - 1 of vectors, all of one projection."""

    low: int
    high: int
    projection: Projection
    names: tuple[str, ...]
    parts: tuple[Part, ...]

    def values(self, x: jax.Array) -> list[jax.Array]:
        """Statistics of vectors `[B, D]`, each `[B]`."""
        at = self.projection(x[:, self.low : self.high])
        return [part.score(at) for part in self.parts]

    def nearest(self, x: jax.Array, count: int) -> jax.Array:
        """Numbers of the nearest references: `[B, count]`."""
        found = next(part for part in self.parts if isinstance(part, Neighbours))
        at = self.projection(x[:, self.low : self.high])
        return replace(found, k=count).nearest(at.near)[1]


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["views", "combination"],
    meta_fields=["kept"],
)
@dataclass(frozen=True)
class NoveltyModel:
    """The pure part: J statistics of vectors, and their combination. A pytree.

    `kept`: which of the statistics of all views count: those that vary.
    """

    views: tuple[View, ...]
    kept: tuple[int, ...]
    combination: RankGauss | None = None

    @property
    def names(self) -> tuple[str, ...]:
        names = [name for view in self.views for name in view.names]
        return tuple(names[j] for j in self.kept)

    def values(self, x: jax.Array) -> jax.Array:
        """Statistics of vectors `[B, D]`: `[B, J]`, higher is more normal."""
        every = [value for view in self.views for value in view.values(x)]
        values = jnp.stack([every[j] for j in self.kept], 1)
        values = jnp.where(jnp.isnan(values), -FARTHEST, values)
        return jnp.clip(values, -FARTHEST, FARTHEST)

    def both(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """`(score [B], statistics [B, J])`; higher is more normal."""
        assert self.combination is not None  # by `fit_model`
        values = self.values(x)
        return self.combination.score(values), values


@dataclass(frozen=True, eq=False)
class NoveltyDetector:
    """Fitted to normal vectors; `p_values` of new ones hold whatever the vectors' law.

    Of vectors that are exchangeable with those that calibrate, at most a share alpha
    has a p-value of alpha or less. `ranked [m, J]`: statistics of normal vectors that
    these were not fitted to; `references`: which of the vectors given to `fit` are
    those that `nearest` finds; `fitted`: how many were given.
    """

    settings: tuple[NoveltySettings, ...]
    model: NoveltyModel
    ranked: np.ndarray
    references: np.ndarray
    calibration: NormalScores
    fitted: int

    @classmethod
    def fit(
        cls,
        x,
        settings: NoveltySettings | Sequence[NoveltySettings] | None = None,
        *,
        calibrate,
        labels=None,
        repeated=None,
        label: str | None = None,
    ) -> "NoveltyDetector":
        """Fit to normal vectors and calibrate by others.

        Args:
            x: finite numbers `[n, D]`, 20 at least.
            settings: by default `NoveltySettings()`; several where examples have
                several views, each with its columns. The seed of the first counts.
            calibrate: others `[c, D]`, 20 at least, exchangeable with `x`.
            labels: integers `[n]`, classes of `x`; they take the place of clusters.
            repeated: booleans `[c]`, which of those that calibrate are known to be
                copies of others or of `x`; equal vectors are found.
            label: of the progress shown; None shows none.

        Raises:
            TypeError: vectors that are no real numbers.
            ValueError: too few, not finite or all equal, and where fewer than 19 of
                those that calibrate are no copies.
        """
        if settings is None or isinstance(settings, NoveltySettings):
            settings = (settings or NoveltySettings(),)
        settings = tuple(settings)
        x = np.asarray(checked(x), np.float32)
        held_out = np.asarray(checked(calibrate, x.shape[1]), np.float32)
        check_counts(len(x), len(held_out))
        copies = find_repeated(x, held_out)
        if repeated is not None:
            copies |= np.asarray(repeated, bool)
        # before the fit, which takes long
        NormalScores(np.zeros(len(held_out)), copies)
        if labels is not None:
            labels = np.unique(np.asarray(labels), return_inverse=True)[1]
        model, ranked, references = fit_model(x, labels, settings, label)
        calibration = NormalScores(model_scores(model, held_out)[0], copies)
        return cls(settings, model, ranked, references, calibration, len(x))

    @property
    def names(self) -> tuple[str, ...]:
        """What the statistics are called, in the order of `values`."""
        return self.model.names

    @property
    def dims(self) -> int:
        return max(view.high for view in self.model.views)

    def scores(self, x) -> tuple[np.ndarray, np.ndarray]:
        """`(score [N], statistics [N, J])`, float64; higher is more normal."""
        x = np.asarray(checked(x, self.dims), np.float32)
        return model_scores(self.model, x)

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

        By the first view. Of more than 10,000, those are looked at that it keeps. Fewer
        than `count` columns where there are fewer.
        """
        x = np.asarray(checked(x, self.dims), np.float32)
        count = min(count, len(self.references))
        find = partial(_nearest, self.model.views[0], count)
        return self.references[in_blocks(find, x, BATCH)]


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


def fit_model(
    x: np.ndarray,
    labels: np.ndarray | None,
    settings: Sequence[NoveltySettings],
    label: str | None = None,
) -> tuple[NoveltyModel, np.ndarray, np.ndarray]:
    """Fit to finite float32 `[n, D]`: the model, statistics that rank, reference rows.

    Checks no counts: 5 rows at least, one to a fold. The statistics `[m, J]` are of
    rows that models were not fitted to.
    """
    order = np.random.default_rng(settings[0].seed).permutation(len(x))

    def model_of(rows, size: int, shown=None) -> NoveltyModel:
        views = tuple(_view(x, labels, rows, size, own, shown) for own in settings)
        return NoveltyModel(views, tuple(range(sum(len(v.parts) for v in views))))

    if len(x) >= HOLD_OUT:
        ranking, fitted = np.split(order, [int(RANKED * len(x))])
        fitted = np.sort(fitted)
        model = model_of(fitted, len(fitted), label)
        ranked = _values(model, x[ranking])
    else:
        folds = np.array_split(order, FOLDS)
        size = len(x) - max(map(len, folds))
        of_folds = []
        for fold in folds:
            # of the same number in every fold: one program serves all
            others = np.setdiff1d(order, fold)[:size]
            of_folds.append(_values(model_of(others, size), x[fold]))
        ranked = np.concatenate(of_folds)
        fitted = np.arange(len(x))
        model = model_of(fitted, size, label)
    # one that never varies ranks nothing
    kept = np.flatnonzero(ranked.std(0) > 0)
    if not len(kept):
        raise ValueError("no statistic of these vectors varies: give other vectors")
    ranked = ranked[:, kept]
    parts = [part for view in model.views for part in view.parts]
    weights = [FAR * isinstance(parts[j], Distance) for j in kept]
    combination = RankGauss.fit(ranked, weights)
    model = NoveltyModel(model.views, tuple(kept.tolist()), combination)
    return model, ranked, drawn(fitted, ROWS, settings[0].seed)


def _view(x, labels, rows, size: int, settings: NoveltySettings, label) -> View:
    """Fit all parts to some rows.

    Which parts there are depends on `size`, the least number that any of the models is
    fitted to, so that those of all folds agree.
    """
    low, high = settings.columns or (0, x.shape[1])
    fitted = x[rows, low:high]
    projection = Projection.fit(
        fitted,
        # of half as many as there are vectors: the rest would be noise of few
        components=max(2, min(settings.components, size // 2)),
        near=settings.near,
        whiten=settings.whiten,
        standardize=settings.standardize,
        seed=settings.seed,
    )
    at = coordinates(projection, fitted)
    rank = at.values.shape[1]
    edges = [edge for edge in EDGES if edge < rank] + [rank]
    parts: dict[str, Part] = {
        f"components {low + 1}-{high}": Band(low, high) for low, high in pairwise(edges)
    }
    if rank < fitted.shape[1]:
        parts["residual"] = Residual()
    references = drawn(at.near, ROWS, settings.seed)
    parts["neighbours"] = Neighbours.fit(references, settings.neighbours)
    groups = None
    if labels is not None:
        groups = labels[rows]
    elif settings.clusters and size >= 10 * settings.clusters:
        groups = k_means(at.near.astype(np.float64), settings.clusters, settings.seed)
    if groups is not None:
        parts["clusters"] = Clusters.fit(at.near, groups)
    if settings.flow is not None and size >= (1 - RANKED) * HOLD_OUT and rank > 1:
        parts["flow"] = Density.fit(at.values, settings.flow, settings.seed, label)
    prefix = f"{settings.name}: " if settings.name else ""
    names = tuple(f"{prefix}{name}" for name in parts)
    return View(low, high, projection, names, tuple(parts.values()))


@compiled
def _project(projection: Projection, x) -> Coordinates[jax.Array]:
    return projection(x)


@compiled
def _run(model: NoveltyModel, x) -> tuple[jax.Array, jax.Array]:
    return model.both(x)


@compiled
def _run_values(model: NoveltyModel, x) -> jax.Array:
    return model.values(x)


@partial(compiled, static_argnums=1)
def _nearest(view: View, count: int, x) -> jax.Array:
    return view.nearest(x, count)


def coordinates(projection: Projection, x: np.ndarray) -> Coordinates[np.ndarray]:
    """Project vectors `[N, D]`, in NumPy."""
    return in_blocks(partial(_project, projection), x, BATCH)


def _values(model: NoveltyModel, x: np.ndarray) -> np.ndarray:
    return np.asarray(in_blocks(partial(_run_values, model), x, BATCH), np.float64)


def model_scores(model: NoveltyModel, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`(score [N], statistics [N, J])` of finite float32 `[N, D]`, float64."""
    score, values = in_blocks(partial(_run, model), x, BATCH)
    return np.asarray(score, np.float64), np.asarray(values, np.float64)
