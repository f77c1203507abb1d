"""Panels of latents: their scale, and what they refuse."""

import pytest

from flowjax_ood import figures
from tests.helpers.drawings import ID, IMAGES, MAP, OOD, latents


def test_latents_share_one_symmetric_scale():
    images = [axes.images[0] for axes in latents().axes if axes.images]
    maps = [image for image in images if image.get_array().ndim == 2]
    assert {image.get_clim() for image in maps} == {(-3, 3)}
    assert len(maps) == 2


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (
            lambda: figures.latent_panels([(ID, True, IMAGES[0], {"z": MAP[..., 0]})]),
            r"latent 'z' of 'FashionMNIST'.*\(8, 8\)",
        ),
        (
            lambda: figures.latent_panels(
                [(ID, True, IMAGES[0], {"z": MAP}), (OOD, False, IMAGES[0], {"y": MAP})]
            ),
            "all rows need the same",
        ),
    ],
)
def test_bad_input_is_named(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()
