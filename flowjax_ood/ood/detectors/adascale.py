"""AdaSCALE: scaling whose percentile depends on how far features move (Regmi 2025)."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.ood.batched import compiled, in_batches, of_inputs
from flowjax_ood.ood.detector import Detector, Fitted, Staged
from flowjax_ood.ood.detectors.fitting import TINY
from flowjax_ood.ood.detectors.iodin import chosen_values
from flowjax_ood.ood.detectors.logits import energy
from flowjax_ood.ood.detectors.shaping import LARGEST_EXPONENT
from flowjax_ood.ood.given import Given, Requires
from flowjax_ood.ood.network import Network, as_input, check_images
from flowjax_ood.ood.settings import COUNT, SHARE, OneOf, Within, ranges_of


class _Settings(NamedTuple):
    """What shapes and programs depend on; fields as in `AdaSCALE`."""

    moved: float
    step: float
    shifted: float
    corrected: float
    weight: float


def ratio(f, percentile):
    """`sum(f) / sum(largest of f)`, `[B, 1]`, of rows f cut at 0.

    The largest are all but `round(D p / 100)` entries, p the `percentile [B]` of a row.
    A row of zeros has 0.
    """
    f, size = jnp.maximum(f, 0), f.shape[1]
    count = size - jnp.round(size * percentile / 100).astype(int)
    sums = jnp.cumsum(-jnp.sort(-f, axis=1), axis=1)
    after = jnp.take_along_axis(sums, jnp.maximum(count, 1)[:, None] - 1, axis=1)
    before = jnp.sum(f, axis=1, keepdims=True)
    # not "> TINY": NaN stays NaN
    return jnp.where(after <= TINY, 0, before / jnp.maximum(after, TINY))


def unsteadiness(f, moved, shifted, corrected, weight):
    """`Q' = l Q + C`, `[B]`, of features `[B, D]` before and after the perturbation.

    `Q = sum |f - f'|` over the largest entries of f, a share `shifted` of D;
    `C = sum max(f', 0)` over a share `corrected`; l is `weight`.
    """
    counts = [max(1, int(f.shape[1] * share)) for share in (shifted, corrected)]
    largest = jax.lax.top_k(f, max(counts))[1]
    before, after = (jnp.take_along_axis(a, largest, axis=1) for a in (f, moved))
    shift = jnp.sum(jnp.abs(before - after)[:, : counts[0]], axis=1)
    return weight * shift + jnp.sum(jnp.maximum(after, 0)[:, : counts[1]], axis=1)


@partial(compiled, static_argnums=2)
def _measured(network, x, settings):
    """`(features, logits, Q')` of a batch: what percentiles have no say in."""

    def of_predicted(x):
        outputs = network.outputs(x)
        z = outputs.logits
        predicted = jnp.argmax(z, axis=1)[:, None]
        return jnp.sum(jnp.take_along_axis(z, predicted, axis=1)), outputs

    x = as_input(x)
    gradient, outputs = jax.grad(of_predicted, has_aux=True)(x)
    # by normalised pixels, whose unit the step is in, too
    unit = jnp.asarray(network.std or 1.0, x.dtype)
    gradient = gradient * unit
    count = max(1, int(gradient[0].size * settings.moved))
    least = chosen_values(-jnp.abs(gradient), count)
    step = jnp.where(least, settings.step * unit * jnp.sign(gradient), 0)
    f = outputs.features
    moved = network.outputs(x + step).features
    shares = settings.shifted, settings.corrected
    return f, outputs.logits, unsteadiness(f, moved, *shares, settings.weight)


def _measure(network, settings, x, batch_size):
    x = check_images(x, "AdaSCALE")
    return of_inputs(lambda rows: _measured(network, rows, settings), x, batch_size)


@partial(compiled, static_argnums=4)
def _scores(head, measured, known, limits, variant):
    f, z, q = measured
    below = jnp.searchsorted(known, q, side="right") / len(known)
    low, high = limits
    r = ratio(f, low + (1 - below) * (high - low))
    if variant == "l":
        return energy(z * r**2)
    w, b = head
    return energy((f * jnp.exp(jnp.minimum(r, LARGEST_EXPONENT))) @ w + b)


def _finish(head, known, limits, variant, measured, batch_size):
    def scores(rows):
        return _scores(head, rows, known, limits, variant)

    return in_batches(scores, measured, batch_size)


@dataclass(frozen=True)
class AdaSCALE(Detector):
    """Energy of logits scaled by r(p), p a percentile for each input.

    `r(p) = sum(f) / sum(largest of f)`, without a share p % of the features. The
    `variant` "a" takes the logits of `f exp(r)`, "l" the logits times `r^2`.

    * `p = low + (1 - F(Q')) (high - low)`, F the distribution of Q' over `images` of
      `given.id_validation`, `percentiles = (low, high)`;
    * `Q' = weight Q + C`: Q sums `|f - f'|` over the largest features, a share
      `shifted`; C sums `max(f', 0)` over a share `corrected`;
    * f' are the features of `x + step s`: s moves the share `moved` of an input's
      values, those of the smallest gradient of the predicted class's logit, along its
      sign. The step is in units of network.std (of pixels, where that is None).

    Source: Regmi 2025. The author's code has 1 % and 5 % swapped between fitting and
    scoring; the paper does not. It advises to choose `high` alone, as `grid` does.
    """

    variant: Literal["a", "l"] = "a"
    percentiles: tuple[float, float] = (60.0, 85.0)
    moved: float = 0.05
    step: float = 0.5
    shifted: float = 0.01
    corrected: float = 0.05
    weight: float = 10.0
    images: int = 5000
    batch_size: int = 250

    grid: ClassVar = {
        "percentiles": tuple((60.0, p) for p in (65, 70, 75, 80, 85, 90, 95, 99))
    }
    ranges = ranges_of(
        variant=OneOf(("a", "l")),
        percentiles=Within(0, 100, "()", many=True, hint="the lower first"),
        **dict.fromkeys(("moved", "shifted", "corrected"), SHARE),
        **dict.fromkeys(("step", "weight"), Within(0)),
        **dict.fromkeys(("images", "batch_size"), COUNT),
    )

    def __post_init__(self):
        super().__post_init__()
        if len(self.percentiles) != 2 or self.percentiles[0] > self.percentiles[1]:
            raise ValueError(
                "AdaSCALE: percentiles must be a pair, the lower first; got "
                f"{self.percentiles!r}"
            )

    @property
    def name(self) -> str:
        return f"AdaSCALE-{self.variant.upper()}"

    @property
    def requires(self) -> Requires:
        return Requires(gradients=True, id_validation=True, head=self.variant == "a")

    def check(self, network: Network, given: Given) -> None:
        super().check(network, given)
        check_images(given.id_validation[:1], self.name)

    def fit(self, network: Network, given: Given | None = None) -> Fitted:
        given = given or Given()
        self.check(network, given)
        settings = _Settings(
            **{name: getattr(self, name) for name in _Settings._fields}
        )
        measure = partial(_measure, network, settings)
        known = given.once(
            (AdaSCALE, network, settings, self.images),
            lambda: self._known(measure, given),
        )
        limits = tuple(map(float, self.percentiles))
        finish = partial(_finish, network.head, known, limits, self.variant)
        function = Staged(measure, finish)
        return Fitted(self.name, self.requires, network, function, False)

    def _known(self, measure, given):
        """Q' of validation inputs, ascending."""
        x = given.id_validation
        if len(x) > self.images:
            order = np.random.default_rng(given.seed).permutation(len(x))
            x = x[np.sort(order[: self.images])]
        known = measure(x, self.batch_size)[2]
        if not np.isfinite(known).all():
            raise ValueError(
                f"{self.name} cannot be fitted: the network's activations are NaN or "
                f"infinite for {np.sum(~np.isfinite(known))} of {len(x)} validation "
                "inputs"
            )
        return jnp.sort(known)
