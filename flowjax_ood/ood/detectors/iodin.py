"""i-ODIN: ODIN that moves the values of largest gradient alone."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp

from flowjax_ood.ood.batched import compiled, of_inputs
from flowjax_ood.ood.detector import Detector, Fitted
from flowjax_ood.ood.detectors.logits import msp
from flowjax_ood.ood.given import Given, Requires
from flowjax_ood.ood.network import Network, as_input, check_images, flat
from flowjax_ood.ood.settings import COUNT, POSITIVE, Within, ranges_of


def chosen_values(ranks: jax.Array, count: int) -> jax.Array:
    """Mask the `count` values of every input that rank highest, the first of equals."""
    rows = jnp.arange(len(ranks))[:, None]
    best = jax.lax.top_k(flat(ranks), count)[1]
    return (
        jnp.zeros_like(flat(ranks), bool).at[rows, best].set(True).reshape(ranks.shape)
    )


@partial(compiled, static_argnums=4)
def _scores(network: Network, temperature, magnitude, x, values):
    def confidence(x):
        return msp(network.taps(x)[1], temperature)

    x = as_input(x)
    # by log-odds, which rise as the cross-entropy falls: by a factor for each input,
    # so the largest gradients are the same values'
    gradient = jax.grad(lambda x: jnp.sum(confidence(x)))(x)
    step = jnp.where(gradient <= 0, -1.0, 1.0)
    # by normalised pixels, whose channels differ in their unit
    unit = jnp.asarray(network.std or 1.0, x.dtype)
    largest = chosen_values(jnp.abs(gradient) * unit, values)
    return confidence(x + magnitude * jnp.where(largest, step, 0))


def _score(network, settings, values, x, batch_size):
    x = check_images(x, "i-ODIN")
    program = partial(_scores, network, *settings)
    return of_inputs(lambda rows: program(rows, values), x, batch_size)


@dataclass(frozen=True)
class IODIN(Detector):
    """`max_c softmax(f(x - m s) / T)`, s 0 but for the largest gradient of the loss.

    As `ODIN`, but the step moves only the `values` of an input (a pixel's colour is
    one) whose gradient by normalised pixels (in units of network.std) is largest: s is
    its sign there. m is in pixel units, the score the log-odds of that probability.
    Nothing is chosen: T, m and a single value are as published; `grid` is OpenOOD's.

    Source: OpenOOD's i-ODIN (Regmi 2024), after Liang et al. 2018. Raises TypeError for
    tokens, which have no gradient.
    """

    magnitude: float = 0.0014
    temperature: float = 1000.0
    values: int = 1
    label: str = "i-ODIN"

    requires = Requires(gradients=True)
    grid: ClassVar = {
        "temperature": (1.0, 10.0, 100.0, 1000.0),
        "magnitude": (0.0014, 0.0028),
    }
    ranges = ranges_of(magnitude=Within(0), temperature=POSITIVE, values=COUNT)

    def fit(self, network: Network, given: Given | None = None) -> Fitted:
        given = given or Given()
        self.check(network, given)
        settings = float(self.temperature), float(self.magnitude)
        function = partial(_score, network, settings, self.values)
        return Fitted(self.name, self.requires, network, function, False)
