"""Combine the scores of layers: choose the step's magnitude and the layers' weights."""

from functools import partial
from typing import Any

import numpy as np

from flowjax_ood.ood import protocols
from flowjax_ood.ood.detector import Detector, Fitted
from flowjax_ood.ood.detectors.layer_scores import LayerScores
from flowjax_ood.ood.given import Given, Requires
from flowjax_ood.ood.network import Network, check_images
from flowjax_ood.ood.settings import COUNT, STEPS, ranges_of


def _combined(scores: LayerScores, magnitude, weights, x, batch_size):
    """`sum_k a_k s_k(x + m d_k) + b` of inputs `[N, ...]`."""
    return weights(scores.table(x, (magnitude,), batch_size)[:, 0])


class LayerDetector(Detector):
    """Base of `sum_k a_k s_k(x + m d_k) + b` over layers k; defines `layer_scores`.

    By its `weights`: "logistic", by logistic regression on the first halves of the
    validation inputs; of the `magnitudes`, that of the highest TNR at TPR 95 % on the
    second halves, the first of equals. "uniform", and a layer by its name, look at
    in-distribution inputs alone, and take the first magnitude.
    """

    weights: str
    magnitudes: tuple[float, ...]
    batch_size: int
    of_training = False
    ranges = ranges_of(magnitudes=STEPS, batch_size=COUNT)

    @property
    def requires(self) -> Requires:
        return Requires(
            train_data=self.of_training,
            labels=self.of_training,
            ood_validation=self.weights == "logistic",
            gradients=any(self.magnitudes),
            sklearn=self.weights == "logistic",
            # the shape of inputs, and the layers' scale
            id_validation=True,
        )

    def layer_scores(self, network: Network, given: Given) -> LayerScores:
        """Make the scores of every layer, before they are combined."""
        raise NotImplementedError(f"{type(self).__name__} must define layer_scores")

    def check(self, network: Network, given: Given) -> None:
        super().check(network, given)
        if not network.layers:
            raise ValueError(f"{self.name} needs network.layers, the taps to measure")
        if self.weights not in ("uniform", "logistic", *network.layers):
            raise ValueError(
                f"unknown weights {self.weights!r}; known: uniform, logistic, or one "
                f"layer of {', '.join(network.layers)}"
            )
        if self.weights == "logistic":
            count = min(len(given.id_validation), len(given.ood_validation))
            if count < 4:
                raise ValueError(
                    f"{self.name} needs 4 or more of id_validation and ood_validation, "
                    f"half to fit weights on and half to choose by; got {count}"
                )
        if any(self.magnitudes):
            check_images(given.id_validation[:1], self.name)

    def fit(self, network: Network, given: Given | None = None) -> Fitted:
        given = Given() if given is None else given
        self.check(network, given)
        scores = self.layer_scores(network, given)
        inliers, outliers = given.id_validation, given.ood_validation
        chosen: dict[str, Any] = {}
        if self.weights == "logistic":
            half, rest, best = len(inliers) // 2, len(outliers) // 2, -1.0
            of_id = self._table(scores, inliers, self.magnitudes)
            of_ood = self._table(scores, outliers, self.magnitudes)
            for i, m in enumerate(self.magnitudes):
                fitted = protocols.logistic_weights(of_id[:half, i], of_ood[:rest, i])
                rate = protocols.tnr_at_tpr95(
                    fitted(of_id[half:, i]), fitted(of_ood[rest:, i])
                )
                if rate > best:
                    best, magnitude, weights = rate, m, fitted
            chosen["tnr_at_tpr95"] = best
        else:
            magnitude = self.magnitudes[0]
            of_id = self._table(scores, inliers, (magnitude,))
            weights = protocols.uniform_weights(of_id[:, 0])
            if self.weights != "uniform":
                alone = [float(layer == self.weights) for layer in network.layers]
                weights = protocols.Weights(np.asarray(alone), 0.0)
        chosen |= {
            "magnitude": float(magnitude),
            "weights": dict(zip(network.layers, map(float, weights.weights))),
            "bias": weights.bias,
        }
        function = partial(_combined, scores, float(magnitude), weights)
        return Fitted(self.name, self.requires, network, function, False, chosen)

    def _table(self, scores: LayerScores, x, magnitudes) -> np.ndarray:
        """Scores of validation inputs; ValueError where they are not finite."""
        table = scores.table(x, magnitudes, self.batch_size)
        bad = ~np.isfinite(table).all(axis=(1, 2))
        if bad.any():
            raise ValueError(
                f"{self.name} cannot be fitted: the network's activations are NaN or "
                f"infinite for {bad.sum()} of {len(bad)} validation inputs, the first "
                f"is number {int(np.argmax(bad))}"
            )
        return table
