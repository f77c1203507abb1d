"""Small folders of images, and a detector that is fitted to one of them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flowjax_ood.tool.cli import run


def normal_images(count: int, seed: int) -> np.ndarray:
    """Bright discs of some size and place on grey: uint8 `[N, 12, 12]`."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:12, :12]
    at = rng.uniform(4, 8, size=(count, 2, 1, 1))
    radius = rng.uniform(2, 4, size=(count, 1, 1))
    inside = (y - at[:, 0]) ** 2 + (x - at[:, 1]) ** 2 < radius**2
    noise = rng.normal(0, 6, size=(count, 12, 12))
    return np.clip(90 + 120 * inside + noise, 0, 255).astype(np.uint8)


def new_images(count: int, seed: int) -> np.ndarray:
    """Stripes, uint8 `[N, 12, 12]`."""
    rng = np.random.default_rng(seed)
    stripes = (np.arange(12) // 2 % 2)[None, :, None] * 150.0
    noise = rng.normal(0, 6, size=(count, 12, 12))
    return np.clip(60 + stripes + noise, 0, 255).astype(np.uint8)


def write(folder: Path, images, prefix: str = "") -> Path:
    """Write images as PNG files; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{prefix}{number:03d}.png")
    return folder


def fit(images, out, *more) -> int:
    """Fit a detector by pixels; returns the exit status."""
    return run(["fit", str(images), "--out", str(out), "--method", "pixels", *more])


@pytest.fixture(scope="session")
def normal(tmp_path_factory) -> Path:
    """A folder of 70 normal images."""
    return write(tmp_path_factory.mktemp("images") / "normal", normal_images(70, 1))


@pytest.fixture(scope="session")
def detector(normal, tmp_path_factory) -> Path:
    """Fitted to 42 of them, calibrated by 28."""
    path = tmp_path_factory.mktemp("detectors") / "discs"
    assert fit(normal, path) == 0
    return path
