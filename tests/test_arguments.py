"""Numbers among the arguments: each that is none gives one error that names it."""

import numpy as np
import pytest

from flowjax_ood import bijectors, distributions, models
from flowjax_ood.arguments import event_shape, real_number, whole_number

IMAGE = (4, 4, 1)


def test_whole_numbers_are_what_has_an_index():
    assert whole_number("n", 3) == whole_number("n", np.int64(3)) == 3
    assert event_shape("shape", [np.int32(2), 3]) == (2, 3)
    assert type(event_shape("shape", [np.int32(2), 3])[0]) is int
    assert real_number("a", 2) == real_number("a", np.float32(2)) == 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: models.RealNVP(IMAGE, scales=1.5), "scales must be .* got 1.5"),
        (lambda: models.RealNVP(IMAGE, width=2.5), "width must be .* got 2.5"),
        (lambda: models.RealNVP(IMAGE, width="2"), "width must be .* got '2'"),
        (lambda: models.RealNVP(IMAGE, blocks=True), "blocks must be .* got True"),
        (lambda: models.RealNVP(IMAGE, norm_group=1.5), "norm_group must .* got 1.5"),
        (lambda: models.RealNVP(IMAGE, couplings=4.0), "couplings must .* got 4.0"),
        (lambda: models.RealNVP(IMAGE, alpha="0"), "alpha must be a number, got '0'"),
        (lambda: models.RealNVP(("4", 4, 1)), r"image_shape .* got \('4', 4, 1\)"),
        (lambda: models.RealNVP((4, 4, 0)), r"image_shape .* got \(4, 4, 0\)"),
        (lambda: models.RealNVP(4), "image_shape must be a tuple .* got 4"),
        (
            lambda: models.RealNVP((8, 8, 8, 1)),
            "TabularRealNVP takes vectors",
        ),
        (lambda: models.Glow(IMAGE, steps=2.5), "steps must be .* got 2.5"),
        (lambda: models.Glow((64, 1)), r"got \(64, 1\): .* takes vectors"),
        (lambda: models.TabularRealNVP(2.5), "dim must be a whole number, got 2.5"),
        (lambda: models.TabularRealNVP(4, width=2.5), "width must be .* got 2.5"),
        (lambda: models.TabularRealNVP(4, dropout="x"), "dropout must .* got 'x'"),
        (
            lambda: models.TabularRealNVP(4, max_log_scale=float("inf")),
            "max_log_scale must be finite, got inf",
        ),
        (lambda: distributions.Flow(bijectors.Logit(), ("4",)), "event_shape must be"),
        (
            lambda: distributions.ConditionalNormal(hidden=(2.5,)),
            "hidden must be a whole number, got 2.5",
        ),
        (lambda: bijectors.SplineCoupling(None, bins=2.5), "bins must be .* got 2.5"),
        (
            lambda: bijectors.Repeat(bijectors.Logit(), 1.5).latent_shape(IMAGE),
            "n must be a whole number, got 1.5",
        ),
        (
            lambda: bijectors.FactorOut(bijectors.Logit(), 0.5).latent_shape((2, 2, 2)),
            "keep must be a whole number, got 0.5",
        ),
        (lambda: whole_number("num", -1, 0), "num must be at least 0, got -1"),
        (lambda: real_number("t", float("nan")), "t must be finite, got nan"),
    ],
)
def test_an_argument_that_is_no_number_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
