"""Choose hyper-parameters by validation data: FSSD's protocol and its parts.

Source: the public code of Huang et al. 2021, which follows Lee et al. 2018: 1,000
images of the in-distribution test set and 1,000 of the very set that is then detected
are taken away, half to fit weights on and half to choose by. That is knowledge of the
outliers to come; the same functions with synthetic outliers are the leak-free protocol.
"""

import warnings
from typing import NamedTuple

import numpy as np

from flowjax_ood.ood.metrics import fpr_at_tpr

SEED, VALIDATION, NOISE_IMAGES = 42, 1000, 100


class Split(NamedTuple):
    """Indices of a set: to fit on, to choose by, and to test on."""

    fit: np.ndarray
    choose: np.ndarray
    test: np.ndarray


def split(count: int, validation: int = VALIDATION, seed: int = SEED) -> Split:
    """Split a seeded permutation of `count`: two halves of `validation`, and the rest.

    The published vectors, by NumPy's legacy generator. Raises ValueError where nothing
    would be left to test on, and for fewer than 4 to validate by.
    """
    if not 4 <= validation < count:
        raise ValueError(
            f"validation must be in 4 ... {count - 1} of a set of {count}, got "
            f"{validation}"
        )
    order = np.random.RandomState(seed).permutation(count)
    half = validation // 2
    return Split(order[:half], order[half : 2 * half], order[2 * half :])


def repository_noise(
    shape: tuple[int, int, int], ood_count: int, images: int = NOISE_IMAGES
) -> np.ndarray:
    """Draw the noise of FSSD's code: float64 `[images, H, W, C]`, in [-0.5, 0.496].

    `(n - 127.5) / 255` with n of the stream that shuffled the `ood_count` test
    outliers. Fed to the network as normalised pixels: mean + std * noise in [0, 1].
    """
    h, w, c = shape
    random = np.random.RandomState(SEED)
    random.permutation(ood_count)
    n = random.randint(0, 255, (images, c, h, w), "uint8")
    return (n.transpose(0, 2, 3, 1) - 127.5) / 255


def tnr_at_tpr95(id_scores, ood_scores) -> float:
    """Compute the share of outliers rejected where 95 % of ID inputs are accepted."""
    fpr = fpr_at_tpr(id_scores, ood_scores, tpr=0.95, positive="id", n_boot=0)
    return 1 - fpr.value


class Weights(NamedTuple):
    """`score = features @ weights + bias`."""

    weights: np.ndarray
    bias: float

    def __call__(self, features) -> np.ndarray:
        return np.asarray(features, np.float64) @ self.weights + self.bias


def logistic_weights(id_features, ood_features) -> Weights:
    """Fit scikit-learn's cross-validated logistic regression, as FSSD's code does.

    In-distribution is 1. Ten strengths of L2 in 1e-4 ... 1e4, five folds, accuracy; not
    standardised. The linear function instead of the probability, which saturates and
    makes ties. Raises ImportError without scikit-learn, ValueError for features that
    are not finite.
    """
    try:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegressionCV
        from threadpoolctl import threadpool_limits  # comes with scikit-learn
    except ImportError as error:
        raise ImportError(
            "weights by logistic regression need scikit-learn: "
            'pip install "flowjax_ood[detect]", or choose uniform weights'
        ) from error
    x = np.concatenate([id_features, ood_features]).astype(np.float64)
    if not np.isfinite(x).all():
        raise ValueError("features of the validation images are NaN or infinite")
    y = np.repeat([1, 0], [len(id_features), len(ood_features)])
    # threads that wait for each other took nine tenths of the time: matrices are small
    with warnings.catch_warnings(), threadpool_limits(1, user_api="blas"):
        # of 100 iterations, as published; and of defaults that are to change
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", FutureWarning)
        folds = min(5, len(id_features), len(ood_features))
        model = LogisticRegressionCV(cv=folds, scoring="accuracy", random_state=SEED)
        model.fit(x, y)
    return Weights(model.coef_[0], float(model.intercept_[0]))


def uniform_weights(id_features) -> Weights:
    """Average the features, each standardised on in-distribution inputs.

    A feature that does not vary counts for nothing.
    """
    x = np.asarray(id_features, np.float64)
    mean, std = x.mean(0), x.std(0)
    varies = std > 1e-12 * np.maximum(np.abs(mean), 1e-300)
    weights = np.where(varies, 1 / np.where(varies, std, 1), 0) / x.shape[1]
    return Weights(weights, float(-mean @ weights))
