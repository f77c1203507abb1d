"""Latents go back to the pixels they came from, and noise starts there."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.analysis.latents import (
    image_layout,
    latent_images,
    latents_at_pixels,
    mean_latents,
)
from flowjax_ood.bijectors import (
    ActNorm,
    Chain,
    ChannelPermutation,
    FactorOut,
    Haar,
    Inverse,
    Logit,
    Patches,
    Repeat,
    Reshape,
    Reverse,
    Squeeze,
)
from flowjax_ood.distributions import Flow
from flowjax_ood.evaluation.likelihood import batch_likelihood_terms
from flowjax_ood.models import Glow, RealNVP


@pytest.mark.thorough
def test_a_flow_that_only_rearranges_is_undone():
    inner = FactorOut(Chain([Squeeze(), ChannelPermutation(seed=2)]), keep=2)
    # a split within a split
    inner = Chain([Squeeze(), FactorOut(inner, keep=4)])
    bijector = Chain([Squeeze(), ChannelPermutation(seed=1), FactorOut(inner)])
    x = jax.random.normal(jax.random.key(0), (2, 16, 16, 1))
    z, _ = bijector.apply({}, x)
    assert len(z) == 4
    np.testing.assert_array_equal(image_layout(bijector, z), x)


def test_patches_that_are_joined_again_are_undone():
    cut = Patches((4, 6, 2), 2)
    bijector = Chain([cut, Reverse(), Inverse(cut)])
    x = jax.random.normal(jax.random.key(0), (2, 4, 6, 2))
    z, _ = bijector.apply({}, x)
    assert z.shape == x.shape
    assert (z != x).all()
    np.testing.assert_array_equal(image_layout(bijector, z), x)


@pytest.mark.parametrize("made", [Reshape((4, 6, 2), (2, 12, 2)), "inverse"])
def test_a_reshape_is_undone(made):
    if made == "inverse":
        made = Inverse(Reshape((2, 12, 2), (4, 6, 2)))
    bijector = Chain([made, Reverse()])
    x = jax.random.normal(jax.random.key(0), (2, 4, 6, 2))
    z, _ = bijector.apply({}, x)
    assert z.shape == (2, 2, 12, 2)
    np.testing.assert_array_equal(image_layout(bijector, z), x)
    flow = Flow(bijector, (4, 6, 2))
    np.testing.assert_array_equal(latents_at_pixels(flow, x), z)


def test_what_mixes_pixels_into_another_shape_has_no_layout():
    bijector = Chain([Logit(), Haar("space")])
    x = jax.random.uniform(jax.random.key(0), (2, 4, 4, 1))
    z, _ = bijector.apply({}, x)
    assert z.shape == (2, 2, 2, 4)
    with pytest.raises(ValueError, match=r"Haar makes events .* no position"):
        image_layout(bijector, z)
    with pytest.raises(ValueError, match=r"Haar makes events .* no position"):
        latents_at_pixels(Flow(bijector, (4, 4, 1)), x)


@pytest.mark.thorough
def test_each_latent_lands_on_its_pixel():
    """At the start the couplings are the identity: latents are logits, in place."""
    flow = RealNVP((8, 8, 1), width=2, blocks=0, norm="none", zero_init=True)
    x = jax.random.uniform(jax.random.key(1), (2, 8, 8, 1))
    variables = flow.init(jax.random.key(2), x)
    z = flow.apply(variables, x, method="latents")
    logits, _ = Logit().apply({}, x)
    np.testing.assert_allclose(image_layout(flow.bijector, z), logits, atol=1e-5)


def test_an_inverted_bijector_has_no_layout():
    with pytest.raises(ValueError, match="no image layout"):
        image_layout(Inverse(Squeeze()), jnp.zeros((1, 4, 4, 1)))


def test_permutations_in_a_repeat_are_undone():
    block = Chain([ChannelPermutation(seed=1), ActNorm()])
    bijector = Chain([Squeeze(), Repeat(block, 3)])
    x = jax.random.normal(jax.random.key(0), (2, 4, 4, 1))
    at_rest = jax.tree.map(jnp.zeros_like, bijector.init(jax.random.key(1), x))
    z, _ = bijector.apply(at_rest, x)
    np.testing.assert_array_equal(image_layout(bijector, z), x)


@pytest.fixture(scope="module")
def normed():
    """A flow with batch norm, and six images."""
    flow = RealNVP((4, 4, 1), scales=1, couplings=2, width=2, blocks=0)
    x = jax.random.uniform(jax.random.key(1), (6, 4, 4, 1))
    return flow, flow.init(jax.random.key(2), x), x


@pytest.mark.thorough
def test_running_statistics_take_images_one_by_one(normed):
    flow, variables, x = normed
    latents = latent_images(flow)
    z = flow.apply(variables, x, method="latents")
    np.testing.assert_allclose(latents(variables, x), z, atol=1e-5)
    np.testing.assert_allclose(latents(variables, x[:2]), z[:2], atol=1e-5)


def test_batch_statistics_take_them_as_a_group(normed):
    flow, variables, x = normed
    latents = latent_images(flow, batch_statistics=True)
    z = latents(variables, x)
    expected, _ = flow.apply(variables, x, method="latents", mutable=["batch_stats"])
    np.testing.assert_allclose(z, expected, atol=1e-5)
    # an image's latent depends on the others, and not on their order
    assert np.abs(latents(variables, x[:3]) - z[:3]).max() > 0.01
    np.testing.assert_allclose(latents(variables, x[::-1]), z[::-1], atol=1e-5)

    terms = batch_likelihood_terms(flow)
    parts, _ = flow.apply(
        variables, x, method="log_prob_parts", mutable=["batch_stats"]
    )
    np.testing.assert_allclose(terms(variables, x), parts, rtol=1e-5)


def test_the_mean_is_over_draws():
    draws = np.arange(24.0).reshape(3, 2, 2, 2, 1)
    np.testing.assert_allclose(mean_latents(np.negative, draws), -draws.mean(0))
    with pytest.raises(ValueError, match="at least one draw"):
        mean_latents(np.negative, [])


FLOWS = {
    "single scale": lambda: RealNVP((4, 4, 1), scales=1, width=2, blocks=1),
    "two scales": lambda: RealNVP((8, 8, 3), scales=2, width=2, blocks=1),
    "glow": lambda: Glow((8, 8, 1), scales=2, steps=1, width=2, layers=1),
    "scan": lambda: RealNVP((8, 8, 1), scales=2, width=2, blocks=1, stack="scan"),
}


@pytest.mark.parametrize("name", FLOWS)
def test_noise_lands_on_the_latent_of_its_pixel(name):
    flow = FLOWS[name]()
    noise = jax.random.normal(jax.random.key(0), (2, *flow.event_shape))
    z = latents_at_pixels(flow, noise)
    shapes = jax.tree.map(lambda part: part.shape[1:], z)
    assert shapes == flow.latent_shape()
    np.testing.assert_array_equal(image_layout(flow.bijector, z), noise)


def test_noise_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"noise of shape \(8, 8, 1\) .* \(4, 4, 1\)"):
        latents_at_pixels(FLOWS["single scale"](), np.zeros((2, 8, 8, 1)))
    with pytest.raises(ValueError, match=r"shape \(4,\) makes no images"):
        latents_at_pixels(Flow(Chain([]), (4,)), np.zeros((2, 4)))
