"""Combine the scores of layers: choose the step's magnitude and the layers' weights."""

from dataclasses import dataclass

import numpy as np

from flowjax_ood.ood import protocols
from flowjax_ood.ood.detector import Fitted, Given
from flowjax_ood.ood.detectors.layer_scores import LayerScores
from flowjax_ood.ood.network import Network, check_images


@dataclass(frozen=True, eq=False)
class _Combined:
    """`sum_k a_k s_k(x + m d_k) + b` of inputs `[N, ...]`."""

    scores: LayerScores
    magnitude: float
    weights: protocols.Weights

    def __call__(self, x, batch_size):
        table = self.scores.table(x, (self.magnitude,), batch_size)
        return self.weights(table[:, 0])


def check_layers(detector, network: Network, given: Given) -> None:
    """Raise ValueError or TypeError for what `fit_layers` cannot do, before it starts.

    By the detector's `magnitudes` and `weights`.
    """
    name, weighting = detector.name, detector.weights
    if given.id_validation is None:
        raise ValueError(
            f"{name} needs id_validation: the shape of its inputs, and the layers' "
            "scale"
        )
    if not network.layers:
        raise ValueError(f"{name} needs network.layers, the taps to measure")
    if not len(detector.magnitudes):
        raise ValueError(f"{name} needs a magnitude; 0 is no perturbation")
    if weighting not in ("uniform", "logistic", *network.layers):
        raise ValueError(
            f"unknown weights {weighting!r}; known: uniform, logistic, or one layer of "
            f"{', '.join(network.layers)}"
        )
    if any(detector.magnitudes):
        check_images(given.id_validation[:1], name)


def check_finite(name: str, table: np.ndarray) -> np.ndarray:
    """Return `table [N, ...]`; ValueError where validation inputs are not finite."""
    bad = ~np.isfinite(table.reshape(len(table), -1)).all(axis=1)
    if bad.any():
        raise ValueError(
            f"{name} cannot be fitted: the network's activations are NaN or infinite "
            f"for {bad.sum()} of {len(bad)} validation inputs, the first is number "
            f"{int(np.argmax(bad))}"
        )
    return table


def fit_layers(detector, scores: LayerScores, given: Given) -> Fitted:
    """Choose the magnitude and the weights, and put the detector together.

    By its `magnitudes`, `weights` and `batch_size`. "logistic": weights by logistic
    regression on the first halves of the validation inputs; of the magnitudes, that of
    the highest TNR at TPR 95 % on the second halves, the first of equals. "uniform",
    and a layer by its name, look at in-distribution inputs alone, and take the first
    magnitude.
    """
    name, batch_size = detector.name, detector.batch_size
    magnitudes, weighting = detector.magnitudes, detector.weights
    inliers, outliers = given.id_validation, given.ood_validation
    chosen = {}
    if weighting == "logistic":
        half, rest, best = len(inliers) // 2, len(outliers) // 2, -1.0
        of_id = check_finite(name, scores.table(inliers, magnitudes, batch_size))
        of_ood = check_finite(name, scores.table(outliers, magnitudes, batch_size))
        for i, m in enumerate(magnitudes):
            candidate = protocols.logistic_weights(of_id[:half, i], of_ood[:rest, i])
            rate = protocols.tnr_at_tpr95(
                candidate(of_id[half:, i]), candidate(of_ood[rest:, i])
            )
            if rate > best:
                best, magnitude, weights = rate, m, candidate
        chosen["tnr_at_tpr95"] = best
    else:
        magnitude = magnitudes[0]
        of_id = scores.table(inliers, (magnitude,), batch_size)
        weights = protocols.uniform_weights(check_finite(name, of_id)[:, 0])
        if weighting != "uniform":
            alone = np.asarray([layer == weighting for layer in scores.layers])
            weights = protocols.Weights(1.0 * alone, 0.0)
    chosen |= {
        "magnitude": float(magnitude),
        "weights": dict(zip(scores.layers, map(float, weights.weights))),
        "bias": weights.bias,
    }
    function = _Combined(scores, float(magnitude), weights)
    return Fitted(name, detector.requires, scores.network, function, False, chosen)
