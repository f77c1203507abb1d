"""Controls of pixels alone: levels and code lengths. PPCA is with the subspaces."""

from dataclasses import replace

import numpy as np
import pytest

from flowjax_ood import ood
from tests.helpers.scored_flows import (
    gaussian_flow,
    identity_flow,
    images,
    normal_outputs,
)


def test_mean_intensity_is_of_levels():
    x = images(4)
    outputs = replace(normal_outputs(np.zeros(x.shape)), events=x)
    got = ood.MeanIntensity().fit(identity_flow()).score_outputs(outputs)
    np.testing.assert_allclose(got, x.reshape(4, -1).astype(int).sum(1) / 64)
    with pytest.raises(ValueError, match="score of images"):
        ood.MeanIntensity().fit(gaussian_flow())


def test_code_lengths_are_bits_and_order_images_by_what_they_hold():
    x = images(3)
    x[0] = 7
    x[2] = np.random.default_rng(0).integers(0, 256, x[2].shape)
    outputs = replace(normal_outputs(np.zeros(x.shape)), events=x)
    for coder in ("png", "zlib", ood.CodeLength().coder):
        got = ood.CodeLength(coder).fit(identity_flow()).score_outputs(outputs)
        np.testing.assert_array_equal(got, -ood.code_length(x, coder))
        assert got[0] > max(got[1], got[2])
        # noise cannot be coded in less; blocks, rows and headers come on top
        assert 8 * 64 < -got[2] < 8 * (64 + 100)


def test_code_lengths_are_of_images_and_known_coders():
    with pytest.raises(ValueError, match="score of images"):
        ood.CodeLength().fit(gaussian_flow())
    deep = ood.ScoredFlow(identity_flow().flow, {}, bins=1024)
    with pytest.raises(ValueError, match="256 levels at most"):
        ood.CodeLength().fit(deep)
    with pytest.raises(ValueError, match=r"1 or 3 channels.*coder='zlib'"):
        ood.CodeLength("png").fit(identity_flow(2))
    assert ood.CodeLength("zlib").fit(identity_flow(2)).name == "code length (zlib)"
    with pytest.raises(ValueError, match="coder must be one of png"):
        ood.CodeLength("flif")
