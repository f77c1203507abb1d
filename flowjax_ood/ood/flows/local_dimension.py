"""Local intrinsic dimension of a flow's density at an image, beside its likelihood."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.ood.batched import batches, compiled
from flowjax_ood.ood.flows.outputs import FlowInputs, FlowOutputs, ScoredFlow
from flowjax_ood.ood.flows.score import (
    FlowScore,
    Score,
    calibration,
    drawn,
    reference,
)
from flowjax_ood.ood.flows.subspaces import components
from flowjax_ood.ood.given import Given, Requires
from flowjax_ood.ood.p_values import low_p
from flowjax_ood.ood.settings import COUNT, POSITIVE, OneOf, Within, ranges_of

# images whose Jacobians are computed together, and rows of those at a time
BATCH = 4
BLOCK = 16
# halvings of the interval that the radius is looked for in
HALVINGS = 20
WIDEST = 20.0
# calibration images, of which the least p-value is 1 / 21
LEAST_CALIBRATED = 20
# singular values of dz/dx are at least this: their inverses are finite
TINY = 1e-100


@compiled
def _jacobians(scored: ScoredFlow, inputs: FlowInputs):
    """`z [B, D]`, and `dz / dx [B, D, D]`.

    Row by row, by gradients: some bijectors have no forward derivatives of their own.
    """
    x = scored.points(inputs)
    count = len(x)

    def latents(x):
        z = scored.flow.apply(scored.variables, x, method="latents")
        return jnp.concatenate([p.reshape(count, -1) for p in jax.tree.leaves(z)], 1)

    z, pull = jax.vjp(latents, x)

    def row(direction):
        (gradient,) = pull(jnp.broadcast_to(direction, z.shape))
        return gradient.reshape(count, -1)

    rows = jax.lax.map(row, jnp.eye(z.shape[1], dtype=z.dtype), batch_size=BLOCK)
    return z, rows.swapaxes(0, 1)


class Spectrum(NamedTuple):
    """Of N images: `variances [N, D]`, the eigenvalues of `J'J` for `J = d f^-1 / dz`.

    `squares [N, D]`: of the coordinates of z in their eigenvectors. Float64.
    """

    variances: np.ndarray
    squares: np.ndarray


def spectrum(network: ScoredFlow, events: np.ndarray, name: str) -> Spectrum:
    """Compute singular values of the flow's inverse at the latents of events.

    They are the inverses of those of dz/dx, which needs no inverse of the flow. Raises
    ValueError where that is not finite.
    """
    found, start = [], 0
    program = partial(_jacobians, network)
    for z, jacobians in batches(program, network.inputs(events), BATCH):
        finite = np.isfinite(jacobians).all((1, 2)) & np.isfinite(z).all(1)
        if not finite.all():
            raise ValueError(
                f"{name}: the Jacobian of the flow is not finite for event number "
                f"{start + int(np.argmin(finite))}: leave it out"
            )
        left, values, _ = np.linalg.svd(jacobians.astype(np.float64))
        along = np.einsum("nij,ni->nj", left, z.astype(np.float64))
        found.append(Spectrum(np.maximum(values, TINY) ** -2.0, along**2))
        start += len(z)
    return Spectrum(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def smooth_dimension(found: Spectrum, radius: float) -> np.ndarray:
    """`D + t sum_j (l_j u_j^2 / (l_j + t)^2 - 1 / (l_j + t))`, `t = e^(2 radius)`.

    l_j are the variances and u_j^2 the squares: `[N]`. It is D plus the derivative by
    `radius` of the log density at x once noise of standard deviation `e^radius` is
    added, if the flow were linear. 0 at +infinity, D at -infinity.
    """
    t, (lam, squares) = np.exp(2 * radius), found
    ratio = t / (lam + t)
    # l t / (l + t)^2 without squares of large numbers
    return (1 - ratio + ratio * (1 - ratio) * squares).sum(1)


def counted_dimension(found: Spectrum, radius: float) -> np.ndarray:
    """Count the singular values of J above `e^radius`: `[N]`."""
    return (found.variances > np.exp(2 * radius)).sum(1).astype(np.float64)


DIMENSIONS = {"smooth": smooth_dimension, "count": counted_dimension}


def pca_dimension(given: Given, share: float, name: str) -> int:
    """Count the principal components of reference images above a share of the first.

    Of variance, over at most 6,000 images. Source: Fukunaga and Olsen 1971.
    """
    variances = components(given, "pixels", None, name).variances
    return int((variances > share * variances[0]).sum())


def radius_of(method: str, found: Spectrum, dimension: float) -> float:
    """Find the radius at which the mean of a dimension is `dimension`: in -20 ... 20.

    By 20 halvings: to 4e-5. Source: Kamkari et al. 2024.
    """
    low, high = -WIDEST, WIDEST
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if DIMENSIONS[method](found, middle).mean() > dimension:
            low = middle
        else:
            high = middle
    return (low + high) / 2


@dataclass(frozen=True)
class LocalDimension(FlowScore):
    """The smaller of two p-values: low log p(x), or a low local dimension at x.

    An image may have a high density in a region so thin that none are drawn there. It
    is in-distribution only where both are high. `method` of the dimension: "smooth",
    see `smooth_dimension`, or "count", the singular values of `d f^-1 / dz` above e^r.

    r is such that the mean dimension of reference images is `dimension`; None takes the
    number of principal components of the reference images' pixels whose variance is
    above `share` of the first's, see `pca_dimension`.

    The p-values are ranks among calibration images, low ones unusual; images with the
    same smaller one are ordered by the larger. Thresholds of dimension and density are
    never chosen by outliers, as the envelope of both in published results is, so those
    are higher.

    At most `references` reference images, for r, and as many calibration images are
    looked at, drawn by `given.seed`. Every image costs as many backward passes as it
    has numbers D, about 784 of 28 x 28 pixels, and the singular values of a D x D
    matrix: score a few hundred, not thousands.

    Source: Kamkari et al. 2024, sections 3 and 4. Raises ValueError for fewer than 20
    calibration images, and a dimension that is not between 0 and D.
    """

    method: str = "smooth"
    dimension: float | None = None
    share: float = 0.001
    references: int = 100
    label: str = "local dimension and log p(x)"
    requires: ClassVar[Requires] = Requires(train_data=True, id_validation=True)
    # of 28 x 28 grey pixels; in general 1 + D
    passes: ClassVar[float] = 785.0
    ranges: ClassVar = ranges_of(
        method=OneOf(tuple(DIMENSIONS)),
        share=Within(0, 1, "()"),
        references=COUNT,
    )

    def __post_init__(self):
        super().__post_init__()
        if self.dimension is not None and not POSITIVE.allows(self.dimension):
            raise ValueError(
                f"LocalDimension: dimension must be {POSITIVE} or None; got "
                f"{self.dimension!r}"
            )

    def prepared(self, network: ScoredFlow, given: Given) -> Score:
        train = reference(given, 2, self.name)
        held_out = calibration(given, LEAST_CALIBRATED, self.name)
        if self.references < LEAST_CALIBRATED:
            raise ValueError(
                f"{self.name}: references must be at least {LEAST_CALIBRATED}, got "
                f"{self.references}"
            )
        wanted = self._dimension(network, given)
        train = drawn(train, self.references, given.seed)
        held_out = drawn(held_out, self.references, given.seed)
        found = spectrum(network, train.events, self.name)
        radius = radius_of(self.method, found, wanted)

        def dimension(outputs: FlowOutputs) -> np.ndarray:
            found = spectrum(network, outputs.events, self.name)
            return DIMENSIONS[self.method](found, radius)

        ranked = dimension(held_out), held_out.log_prob

        def score(outputs: FlowOutputs) -> np.ndarray:
            values = dimension(outputs), outputs.log_prob
            p = [low_p(v, r) for v, r in zip(values, ranked, strict=True)]
            # steps of the smaller are 1 / (n + 1): the larger orders within a step
            return np.min(p, axis=0) + np.max(p, axis=0) / (len(held_out) + 1)

        return score

    def _dimension(self, network: ScoredFlow, given: Given) -> float:
        dims = int(np.prod(network.shape))
        wanted = self.dimension
        if wanted is None:
            wanted = pca_dimension(given, self.share, self.name)
        if not 0 < wanted < dims:
            raise ValueError(
                f"{self.name} needs a dimension between 0 and {dims}, that of an event;"
                f" got {wanted:g}: give another `dimension`, or a larger `share` of the"
                " first principal component to count them by"
            )
        return float(wanted)
