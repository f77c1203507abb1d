"""EfficientNet-Lite0 with its ImageNet weights: torch's numbers, without torch.

The golden file holds what the torch code (PyPI efficientnet-lite-pytorch 0.1.0, torch
2.13, CPU) computes from the same weights and inputs: features and logits.
"""

import importlib.metadata
import shutil
from functools import cache
from pathlib import Path

import jax
import numpy as np
import pytest

from flowjax_ood import data
from flowjax_ood.interop import efficientnet, load_efficientnet_lite0
from flowjax_ood.models import encoder_images

GOLDEN = Path(__file__).parent / "efficientnet_lite0_golden.npz"


def installed() -> bool:
    try:
        return bool(importlib.metadata.version(efficientnet.PACKAGE))
    except importlib.metadata.PackageNotFoundError:
        return False


needs_weights = pytest.mark.skipif(
    not installed(), reason=f"needs pip install {efficientnet.PACKAGE}"
)


def pictures() -> np.ndarray:
    """Waves and squares, uint8 `[2, 224, 224, 3]`."""
    i, j, c = np.indices((224, 224, 3))
    waves = 127.5 + 127.5 * np.sin(i / (7 + 3 * c)) * np.cos(j / (11 - 2 * c))
    squares = 255 * ((i // (8 + 8 * c) + j // 16) % 2)
    return np.stack([np.round(waves), squares]).astype(np.uint8)


@cache
def computed() -> dict[str, np.ndarray]:
    """Features and logits of all golden images, in one program."""
    module, variables = load_efficientnet_lite0()
    clothing = data.load("fashion_mnist:test", source="embedded", limit=2)

    @jax.jit
    def compute(variables, rgb, grey):
        x = jax.numpy.concatenate([encoder_images(i, 224) for i in (rgb, grey)])
        features = module.apply(variables, x, method="features")
        return features, module.apply(variables, x)

    features, logits = compute(variables, pictures(), clothing.images)
    return {
        "pictures_features": features[:2],
        "clothing_features": features[2:],
        "pictures_logits": logits[:2],
        "clothing_logits": logits[2:],
    }


@pytest.mark.thorough
@needs_weights
@pytest.mark.parametrize(
    "name",
    ["pictures_features", "clothing_features", "pictures_logits", "clothing_logits"],
)
def test_agrees_with_torch(name):
    with np.load(GOLDEN) as golden:
        expected = golden[name]
        assert str(golden["weights_sha256"]) == efficientnet.SHA256
    error = np.abs(computed()[name] - expected).max() / np.abs(expected).max()
    assert error < 1e-5


def test_the_golden_numbers_are_alive():
    # or a dead encoder would agree with them
    with np.load(GOLDEN) as golden:
        assert golden["clothing_features"].std(axis=0).max() > 0.1
        assert golden["pictures_logits"].argmax(1).tolist() != [0, 0]


@needs_weights
def test_another_file_is_used_only_when_named(tmp_path, monkeypatch):
    copy = tmp_path / efficientnet.FILE
    shutil.copy(efficientnet.imagenet_weights(), copy)
    with copy.open("ab") as file:
        file.write(b"!")

    class Located:
        name = efficientnet.FILE

        @staticmethod
        def locate():
            return copy

    monkeypatch.setattr(importlib.metadata, "files", lambda package: [Located])
    with pytest.raises(ValueError, match=r"has SHA-256 .* install"):
        load_efficientnet_lite0()
    module, _ = load_efficientnet_lite0(copy)
    assert module.classes == 1000


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    def missing(package):
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(importlib.metadata, "files", missing)
    with pytest.raises(ModuleNotFoundError, match=r"'flowjax_ood\[embeddings\]'"):
        load_efficientnet_lite0()
    monkeypatch.setattr(importlib.metadata, "files", lambda package: [])
    with pytest.raises(ValueError, match=r"lacks .* install its version 0\.1\.0"):
        load_efficientnet_lite0()
