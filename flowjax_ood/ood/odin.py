"""ODIN: temperature, and a step towards confidence (Liang et al. 2018)."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from flowjax_ood.ood import protocols
from flowjax_ood.ood.batched import in_batches
from flowjax_ood.ood.detector import Detector, Fitted, Given, Requires
from flowjax_ood.ood.layer_scores import MAGNITUDES
from flowjax_ood.ood.logit_detectors import msp
from flowjax_ood.ood.network import Network, as_input, check_images


@dataclass(frozen=True)
class ODIN(Detector):
    """`max_c log softmax(f(x - m s) / T)`, s the sign of the gradient of the loss.

    The loss is the cross-entropy of the predicted class at temperature T; where its
    gradient is 0, s is +1. m is in pixel units. T and m are chosen among all pairs, by
    TNR at TPR 95 % on the second halves of the validation inputs; of one pair, no
    validation is needed.
    """

    magnitudes: tuple[float, ...] = MAGNITUDES
    temperatures: tuple[float, ...] = (1.0, 10.0, 100.0, 1000.0)
    batch_size: int = 250
    label: str = "ODIN"

    @property
    def name(self) -> str:
        return self.label

    @property
    def requires(self) -> Requires:
        several = len(self.magnitudes) * len(self.temperatures) > 1
        return Requires(ood_validation=several, gradients=any(self.magnitudes))

    def fit(self, network: Network, given: Given | None = None) -> Fitted:
        given = given or Given()
        self.check(network, given)

        def logits(variables, x):
            return network.apply(variables, x)[1]

        def step(variables, x, t):
            def loss(x):
                return -jnp.sum(msp(logits(variables, x), t))

            return jnp.where(jax.grad(loss)(x) >= 0, -1.0, 1.0)

        def score(t, m, variables, x):
            x = as_input(x)
            if chosen["magnitude"]:
                x = x + m * step(variables, x, t)
            return msp(logits(variables, x), t)

        pairs = [(m, t) for m in self.magnitudes for t in self.temperatures]
        chosen = {}
        if not pairs:
            raise ValueError("ODIN needs a magnitude and a temperature")
        if len(pairs) > 1:
            if any(self.magnitudes):
                check_images(given.id_validation[:1], self.name)
            steps, at = jax.jit(step), jax.jit(lambda v, x, t: msp(logits(v, x), t))
            variables = network.variables

            def table(x):
                def of(rows):
                    rows = as_input(jnp.asarray(rows))
                    if any(self.magnitudes):
                        moves = {
                            t: steps(variables, rows, t) for t in self.temperatures
                        }
                    found = [
                        at(variables, rows + m * moves[t] if m else rows, t)
                        for m, t in pairs
                    ]
                    return jnp.stack(found, axis=1)

                half = x[len(x) // 2 :]
                with jax.default_matmul_precision("highest"):
                    return in_batches(of, half, self.batch_size)

            of_id, of_ood = table(given.id_validation), table(given.ood_validation)
            rates = [
                protocols.tnr_at_tpr95(of_id[:, i], of_ood[:, i])
                for i in range(len(pairs))
            ]
            # the first of equals
            best = rates.index(max(rates))
            pairs, chosen = [pairs[best]], {"tnr_at_tpr95": rates[best]}
        magnitude, temperature = pairs[0]
        chosen |= {"magnitude": magnitude, "temperature": temperature}
        function = Partial(score, float(temperature), float(magnitude))
        return Fitted(self.name, self.requires, network, function, False, chosen)
