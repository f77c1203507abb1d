"""Scores of a pretrained encoder's features, beside those of the flow."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from flowjax_ood import ood
from flowjax_ood.novelty.density import Density, FlowSettings
from flowjax_ood.novelty.detector import BATCH, coordinates
from flowjax_ood.novelty.features import EncoderFeatures, encoder_features, has_encoder
from flowjax_ood.novelty.parts import Neighbours, Part, Projection
from flowjax_ood.ood.batched import compiled, in_blocks

# components and neighbours, as `flowjax-ood fit` has them
COMPONENTS, NEAR, NEIGHBOURS = 256, 64, 5
# bytes of features that are remembered: six scores look at each set, and those of a
# block of 18 sets of 1,000 images are 92 MB
REMEMBERED = 2**30


def encoder_scores(flow: ood.ScoredFlow) -> tuple[ood.FlowScore, ...]:
    """5-NN, and a flow, of whitened features; none without the extra `embeddings`."""
    if not flow.of_images or flow.shape[2] not in (1, 3) or flow.bins > 256:
        return ()
    if not has_encoder():
        return ()
    height, width, _ = flow.shape
    features = Encoded(encoder_features([(height, width)]))
    of = partial(ood.FeatureScore, features)
    return (
        of(NearestFeatures(), label="5-NN of encoder features", low_share=0.8),
        of(FeatureDensity(), label="flow of encoder features", low_share=0.5),
    )


@dataclass(frozen=True)
class Encoded:
    """Features of images; those of the last sets, `REMEMBERED` bytes, are kept."""

    features: EncoderFeatures

    def __call__(self, images: np.ndarray) -> np.ndarray:
        digest = hashlib.blake2b(repr((self, images.shape)).encode())
        digest.update(np.ascontiguousarray(images).tobytes())
        key = digest.hexdigest()
        if key not in _remembered:
            features = _remembered[key] = self.features.vectors(images)
            while sum(x.nbytes for x in _remembered.values()) > REMEMBERED:
                _remembered.popitem(last=False)
            return features
        _remembered.move_to_end(key)
        return _remembered[key]


_remembered: OrderedDict[str, np.ndarray] = OrderedDict()


# classes, not functions: kept scores are known again by how these are written


@dataclass(frozen=True)
class NearestFeatures:
    """Fits the distance to the k-th nearest of whitened features."""

    k: int = NEIGHBOURS
    components: int = COMPONENTS
    near: int = NEAR

    def __call__(self, x: np.ndarray, seed: int) -> Callable:
        projection = _projection(x, self.components, self.near, seed)
        return _fitted(projection, lambda at: Neighbours.fit(at.near, self.k), x)


@dataclass(frozen=True)
class FeatureDensity:
    """Trains a flow of whitened features."""

    settings: FlowSettings = field(default_factory=FlowSettings)
    components: int = COMPONENTS
    near: int = NEAR

    def __call__(self, x: np.ndarray, seed: int) -> Callable:
        def fit(at):
            return Density.fit(at.values, self.settings, seed)

        return _fitted(_projection(x, self.components, self.near, seed), fit, x)


def _projection(x: np.ndarray, components: int, near: int, seed: int) -> Projection:
    return Projection.fit(
        x,
        components=min(components, len(x) // 2),
        near=near,
        whiten=True,
        standardize=True,
        seed=seed,
    )


def _fitted(projection: Projection, fit: Callable, x: np.ndarray) -> Callable:
    part = fit(coordinates(projection, x.astype(np.float32)))
    score = partial(_score, projection, part)
    return lambda features: in_blocks(score, features.astype(np.float32), BATCH)


@compiled
def _score(projection: Projection, part: Part, x):
    return part.score(projection(x))
