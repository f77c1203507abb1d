"""Vectors of images: their pixels, or features of a pretrained encoder."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.interop.efficientnet import SHA256, load_efficientnet_lite0
from flowjax_ood.models.efficientnet import FEATURES, encoder_images
from flowjax_ood.novelty.detector import NoveltySettings
from flowjax_ood.ood.batched import compiled, in_blocks

# images of at most so many numbers are compared as they are; others are shrunk
MOST_NUMBERS, SHRUNK = 4096, 32
# sides that images are brought to for the encoder: small images gain nothing by more
# than the first; weights were trained with the last
ENCODER_SIDES = (96, 128, 160, 192, 224)
# images that an encoder sees together on a CPU: the activations of so few fit in caches
CPU_BATCH, OTHER_BATCH = 8, 256


@dataclass(frozen=True)
class PixelFeatures:
    """The pixels themselves, in [0, 1], of images of one size and kind."""

    height: int
    width: int
    channels: int
    name: ClassVar[str] = "pixels"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of an image, uint8."""
        return self.height, self.width, self.channels

    @property
    def dims(self) -> int:
        """Numbers of a vector."""
        return self.height * self.width * self.channels

    @property
    def settings(self) -> NoveltySettings:
        """What goes with such vectors; distances are of pixels, not whitened."""
        return NoveltySettings(whiten=False, standardize=False, flow=None)

    def variables(self) -> Any:
        """Of a network: none."""
        return {}

    def apply(self, variables, images: jax.Array) -> jax.Array:
        """uint8 `[B, H, W, C]` to float32 `[B, D]`; pure."""
        return images.reshape(images.shape[0], -1).astype(jnp.float32) / 255

    def vectors(self, images: np.ndarray) -> np.ndarray:
        """uint8 `[N, H, W, C]` to float32 `[N, D]`."""
        return images.reshape(len(images), -1).astype(np.float32) / 255


@dataclass(frozen=True)
class EncoderFeatures:
    """1280 features of EfficientNet-Lite0, trained on ImageNet, of square images.

    The weights are those of the extra `embeddings`; raises ModuleNotFoundError where
    that is not installed, ValueError where its file is not the known one.
    """

    side: int
    name: ClassVar[str] = "encoder"
    sha256: ClassVar[str] = SHA256

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.side, self.side, 3

    @property
    def dims(self) -> int:
        return FEATURES

    @property
    def settings(self) -> NoveltySettings:
        return NoveltySettings()

    @cached_property
    def _network(self):
        return load_efficientnet_lite0()

    def variables(self) -> Any:
        return self._network[1]

    def apply(self, variables, images: jax.Array) -> jax.Array:
        x = encoder_images(images, self.side)
        return self._network[0].apply(variables, x, method="features")

    def vectors(self, images: np.ndarray) -> np.ndarray:
        on_cpu = jax.default_backend() == "cpu"
        # of each device, where batches are spread over them
        batch = (CPU_BATCH if on_cpu else OTHER_BATCH) * jax.local_device_count()
        encode = partial(_encode, self, self.variables())
        return np.asarray(in_blocks(encode, images, batch), np.float32)


@partial(compiled, static_argnums=0)
def _encode(view: EncoderFeatures, variables, images):
    return view.apply(variables, images)


ImageView = PixelFeatures | EncoderFeatures


@dataclass(frozen=True)
class Features:
    """One view of images, or several, whose vectors are put side by side."""

    views: tuple[ImageView, ...]

    @property
    def name(self) -> str:
        return " and ".join(view.name for view in self.views)

    @property
    def shapes(self) -> tuple[tuple[int, int, int], ...]:
        """Of an image, for each view."""
        return tuple(view.shape for view in self.views)

    @property
    def dims(self) -> int:
        return sum(view.dims for view in self.views)

    @property
    def settings(self) -> tuple[NoveltySettings, ...]:
        """Settings of each view, with its columns."""
        ends = np.cumsum([view.dims for view in self.views]).tolist()
        return tuple(
            replace(view.settings, name=view.name, columns=(end - view.dims, end))
            for view, end in zip(self.views, ends, strict=True)
        )

    def variables(self) -> tuple[Any, ...]:
        """Of the networks of the views."""
        return tuple(view.variables() for view in self.views)

    def apply(self, variables, images: Sequence[jax.Array]) -> jax.Array:
        """Images for each view, uint8 `[B, H, W, C]`, to `[B, D]`; pure."""
        parts = zip(self.views, variables, images, strict=True)
        return jnp.concatenate([view.apply(v, x) for view, v, x in parts], 1)

    def vectors(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Images for each view, uint8 `[N, H, W, C]`, to float32 `[N, D]`."""
        parts = zip(self.views, images, strict=True)
        return np.concatenate([view.vectors(x) for view, x in parts], 1)


def has_encoder() -> bool:
    """Whether the weights of the encoder are installed."""
    from flowjax_ood.interop.efficientnet import imagenet_weights

    try:
        imagenet_weights()
    except (ModuleNotFoundError, ValueError, OSError):
        return False
    return True


def pixel_features(sizes: Sequence[tuple[int, int]], colour: bool) -> PixelFeatures:
    """Choose the size that pixels of images of these `(height, width)` are compared at.

    As they are where all have one size of at most 4,096 numbers; else 32 x 32.
    """
    channels = 3 if colour else 1
    first = sizes[0]
    if set(sizes) == {first} and first[0] * first[1] * channels <= MOST_NUMBERS:
        return PixelFeatures(*first, channels)
    return PixelFeatures(SHRUNK, SHRUNK, channels)


def encoder_features(sizes: Sequence[tuple[int, int]]) -> EncoderFeatures:
    """Choose the side for the encoder: that of the middle image, from 96 to 224."""
    middle = float(np.median([max(size) for size in sizes]))
    return EncoderFeatures(
        next((side for side in ENCODER_SIDES if side >= middle), ENCODER_SIDES[-1])
    )
