"""ODIN: temperature, and a step towards confidence (Liang et al. 2018)."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.ood import protocols
from flowjax_ood.ood.batched import at_once, compiled, in_batches
from flowjax_ood.ood.detector import Detector, Fitted
from flowjax_ood.ood.detectors.layer_scores import MAGNITUDES
from flowjax_ood.ood.detectors.logits import msp
from flowjax_ood.ood.given import Given, Requires
from flowjax_ood.ood.network import Network, as_input, check_images, logits_of
from flowjax_ood.ood.settings import COUNT, STEPS, Within, ranges_of


@compiled
def _step(network, x, temperature):
    """-1 where the loss rises with a pixel or does not depend on it, else 1."""

    # by log-odds, which rise as the cross-entropy falls: their gradient has the same
    # sign, and does not vanish by rounding
    def confidence(x):
        return jnp.sum(msp(network.taps(x)[1], temperature))

    return jnp.where(jax.grad(confidence)(as_input(x)) <= 0, -1.0, 1.0)


@compiled
def _along(x, step, magnitude):
    return as_input(x) + magnitude * step


_confidence = compiled(msp)


def _table(network: Network, pairs, batch_size: int, x) -> np.ndarray:
    """Scores of inputs at every `(magnitude, temperature)`, `[N, pairs]`."""
    moving = dict.fromkeys(t for m, t in pairs if m)

    def of(rows):
        steps = {t: _step(network, rows, t) for t in moving}
        plain = None if all(m for m, _ in pairs) else logits_of(network, rows)
        scores = []
        for m, t in pairs:
            z = logits_of(network, _along(rows, steps[t], m)) if m else plain
            scores.append(_confidence(z, t))
        return tuple(scores)

    return np.stack(in_batches(of, x, at_once(x, batch_size)), axis=1)


def _score(network, pair, x, batch_size):
    return _table(network, (pair,), batch_size, x)[:, 0]


@dataclass(frozen=True)
class ODIN(Detector):
    """`max_c softmax(f(x - m s) / T)`, s the sign of the gradient of the loss.

    The loss is the cross-entropy of the predicted class at temperature T; where its
    gradient is 0, s is +1. m is in pixel units. T and m are chosen among all pairs, by
    TNR at TPR 95 % on the second halves of the validation inputs; of one pair, no
    validation is needed. The score is the log-odds of that probability.
    """

    magnitudes: tuple[float, ...] = MAGNITUDES
    temperatures: tuple[float, ...] = (1.0, 10.0, 100.0, 1000.0)
    batch_size: int = 250
    label: str = "ODIN"
    ranges = ranges_of(
        magnitudes=STEPS,
        temperatures=Within(0, without="(", many=True),
        batch_size=COUNT,
    )

    @property
    def requires(self) -> Requires:
        several = len(self.magnitudes) * len(self.temperatures) > 1
        return Requires(ood_validation=several, gradients=any(self.magnitudes))

    def fit(self, network: Network, given: Given | None = None) -> Fitted:
        given = Given() if given is None else given
        self.check(network, given)
        pairs = [
            (float(m), float(t)) for m in self.magnitudes for t in self.temperatures
        ]
        chosen = {}
        if len(pairs) > 1:
            if any(self.magnitudes):
                check_images(given.id_validation[:1], self.name)
            table = partial(_table, network, pairs, self.batch_size)
            of_id, of_ood = (
                table(x[len(x) // 2 :])
                for x in (given.id_validation, given.ood_validation)
            )
            rates = [
                protocols.tnr_at_tpr95(of_id[:, i], of_ood[:, i])
                for i in range(len(pairs))
            ]
            # the first of equals
            best = rates.index(max(rates))
            pairs, chosen = [pairs[best]], {"tnr_at_tpr95": rates[best]}
        magnitude, temperature = pairs[0]
        chosen |= {"magnitude": magnitude, "temperature": temperature}
        function = partial(_score, network, pairs[0])
        return Fitted(self.name, self.requires, network, function, False, chosen)
