"""Image sets: explicit sources, deterministic batching, dequantisation.

Importing this package imports NumPy alone. What runs on the device is imported by name:

    from flowjax_ood.data.dequantize import dequantize, example_keys, quantize
"""

from flowjax_ood.data.batching import batch_indices, padded_batches
from flowjax_ood.data.loading import SOURCES, load
from flowjax_ood.data.outliers.battery import battery
from flowjax_ood.data.outliers.mutated import mutated
from flowjax_ood.data.preprocess import resize_center_crop, to_grayscale, to_rgb
from flowjax_ood.data.scenes import Scenes, exchanged, outfit_scenes
from flowjax_ood.data.sets import ImageSet
from flowjax_ood.data.splits import hold_back
from flowjax_ood.data.streaming import StreamedImageSet, stream

__all__ = [
    "SOURCES",
    "ImageSet",
    "Scenes",
    "StreamedImageSet",
    "batch_indices",
    "battery",
    "exchanged",
    "hold_back",
    "load",
    "mutated",
    "outfit_scenes",
    "padded_batches",
    "resize_center_crop",
    "stream",
    "to_grayscale",
    "to_rgb",
]
