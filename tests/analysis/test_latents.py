"""Latents go back to the pixels they came from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.analysis.latents import image_layout
from flowjax_ood.bijectors import (
    Chain,
    ChannelPermutation,
    FactorOut,
    Inverse,
    Logit,
    Squeeze,
)
from flowjax_ood.models import RealNVP


def test_a_flow_that_only_rearranges_is_undone():
    inner = FactorOut(Chain([Squeeze(), ChannelPermutation(seed=2)]), keep=2)
    bijector = Chain([Squeeze(), ChannelPermutation(seed=1), inner])
    x = jax.random.normal(jax.random.key(0), (2, 8, 8, 1))
    z, _ = bijector.apply({}, x)
    assert isinstance(z, tuple)
    np.testing.assert_array_equal(image_layout(bijector, z), x)


def test_each_latent_lands_on_its_pixel():
    """At the start the couplings are the identity: latents are logits, in place."""
    flow = RealNVP((8, 8, 1), width=2, blocks=1, norm="none", zero_init=True)
    x = jax.random.uniform(jax.random.key(1), (2, 8, 8, 1))
    variables = flow.init(jax.random.key(2), x)
    z = flow.apply(variables, x, method="latents")
    logits, _ = Logit().apply({}, x)
    np.testing.assert_allclose(image_layout(flow.bijector, z), logits, atol=1e-5)


def test_an_inverted_bijector_has_no_layout():
    with pytest.raises(ValueError, match="no image layout"):
        image_layout(Inverse(Squeeze()), jnp.zeros((1, 4, 4, 1)))
