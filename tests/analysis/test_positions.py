"""Where each value inside a flow came from: against the flow's own order of layers."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.analysis.couplings import coupling_recorder, image_maps
from flowjax_ood.analysis.positions import (
    latent_sources,
    placed_leaves,
    to_image,
)
from flowjax_ood.bijectors import (
    ActNorm,
    Chain,
    ChannelPermutation,
    FactorOut,
    Inverse,
    Logit,
    Patches,
    Repeat,
    Reverse,
    Squeeze,
)
from flowjax_ood.models import Glow, Jet, RealNVP, TarFlow
from tests.helpers.law_runs import run


def at_rest(flow):
    """The flow with parameters that let every value through as it is."""
    x = jax.ShapeDtypeStruct((2, *flow.event_shape), "float32")

    def rest(path, leaf):
        name = path[-1].key
        if name == "weight":  # of a 1x1 convolution
            return jnp.broadcast_to(jnp.eye(leaf.shape[-1]), leaf.shape)
        return jnp.full(leaf.shape, name == "v", leaf.dtype)

    shapes = jax.eval_shape(flow.init, jax.random.key(0), x)
    return flow, jax.tree_util.tree_map_with_path(rest, shapes)


def resting_glow(shape, **args):
    return at_rest(Glow(shape, width=2, layers=0, **args))


def real_nvp(shape, **args):
    return at_rest(RealNVP(shape, width=2, blocks=0, norm="none", **args))


@pytest.mark.thorough
@pytest.mark.parametrize(
    "made",
    [
        lambda: real_nvp((8, 8, 3), scales=3),
        lambda: real_nvp((8, 8, 1), stack="scan"),
        lambda: real_nvp((4, 6, 1), scales=1, mask="cycle"),
        lambda: resting_glow((8, 8, 3), steps=2),
        lambda: resting_glow((8, 8, 1), steps=2, stack="scan", mask="checkerboard"),
        lambda: at_rest(Jet((4, 6, 1), patch=2, width=2)),
    ],
    ids=["three_scales", "scan", "cycle", "glow", "glow_scan", "jet"],
)
def test_sources_are_where_the_flow_takes_its_values_from(made):
    """Couplings that are the identity let values through: each can be followed."""
    flow, variables = made()
    x = jax.random.uniform(jax.random.key(1), (2, *flow.event_shape))
    first = flow.bijector.bijectors[0]  # the logit, of most
    values = np.asarray(first.apply({}, x)[0]).reshape(2, -1)
    leaves = {leaf.path: leaf for leaf in placed_leaves(flow.bijector, x.shape[1:])}
    records = coupling_recorder(flow)(variables, x)
    assert records
    for record in records:
        source = leaves[record.path].source
        assert record.x.shape[1:] == source.shape
        # all values differ
        np.testing.assert_allclose(record.x, values[:, source], atol=1e-5)


def test_the_way_to_the_image_is_a_linear_bijection_on_positions():
    flow, _ = real_nvp((8, 8, 3), scales=3)
    rng = np.random.default_rng(0)
    for leaf in placed_leaves(flow.bijector, (8, 8, 3)):
        a, b = rng.standard_normal((2, 4, *leaf.source.shape))
        placed = [to_image(v, leaf.source, (8, 8, 3)) for v in (a, b, 2 * a - 3 * b)]
        np.testing.assert_array_equal(placed[2], 2 * placed[0] - 3 * placed[1])
        assert len(np.unique(leaf.source)) == leaf.source.size
        # back again, and nothing elsewhere
        np.testing.assert_array_equal(placed[0].reshape(4, -1)[:, leaf.source], a)
        blank = to_image(a, leaf.source, (8, 8, 3), np.nan)
        assert np.isnan(blank).sum() == 4 * (192 - leaf.source.size)


def test_factored_out_and_unchanged_positions_are_blank():
    flow, variables = real_nvp((8, 8, 1))
    x = jax.random.uniform(jax.random.key(1), (2, 8, 8, 1))
    records = coupling_recorder(flow)(variables, x)
    logits = np.asarray(Logit().apply({}, x)[0])
    for record, maps in zip(records, image_maps(flow, records), strict=True):
        for name, mask in (("target", record.changed), ("input", record.seen)):
            shown = np.isfinite(maps[name])
            assert shown.sum() == 2 * mask.sum()
            np.testing.assert_allclose(maps[name][shown], logits[shown], atol=1e-5)
        np.testing.assert_array_equal(np.isnan(maps["-t"]), np.isnan(maps["target"]))
    # the second scale: one row of each 2 x 2 cell was kept, the other factored out
    last = image_maps(flow, records, fill=0.0)[-1]
    np.testing.assert_array_equal(last["target"][:, 1::2], 0)
    assert (last["target"][:, ::2] != 0).sum() == 2 * records[-1].changed.sum()


def test_permutations_and_repeats_are_followed():
    inner = Chain([ChannelPermutation(seed=2), Squeeze(), ChannelPermutation()])
    block = Chain([ChannelPermutation(seed=1), ActNorm()])
    bijector = Chain([Squeeze(), Repeat(block, 3), inner])
    x = np.arange(2 * 64, dtype=np.float32).reshape(2, 8, 8, 1)
    last = placed_leaves(bijector, (8, 8, 1))[-1]
    at_rest = jax.tree.map(jnp.zeros_like, bijector.init(jax.random.key(0), x))
    z, _ = bijector.apply(at_rest, x)
    z = z[..., ::-1]  # the last permutation, undone
    np.testing.assert_array_equal(z, x.reshape(2, -1)[:, last.source])


@pytest.mark.thorough
@pytest.mark.parametrize("stack", ["scan", "chain"])
def test_tokens_are_followed_through_patches_and_reversals(stack):
    """Blocks that are the identity let pixels through, in other places."""
    flow = TarFlow((4, 6, 2), patch=2, blocks=3, width=4, layers=1, stack=stack)
    x = np.random.default_rng(1).random((2, 4, 6, 2), np.float32)
    start = partial(flow.init_with_output, method="latents")
    z, _ = run(start, jax.random.key(0), x)
    pixels = 2 * x.reshape(2, -1) - 1
    source = latent_sources(flow.bijector, x.shape[1:])
    assert source.shape == (4, 6, 2)
    np.testing.assert_allclose(z, pixels[:, source], atol=1e-6)
    # an odd number of reversals: not where it was
    assert source[0, 0, 0] != 0
    assert sorted(source.ravel()) == list(range(48))


def test_patches_and_their_order_are_followed():
    cut = Patches((4, 6, 2), 2)
    bijector = Chain([cut, Reverse(), Inverse(cut)])
    x = jax.random.normal(jax.random.key(0), (2, 4, 6, 2))
    z, _ = bijector.apply({}, x)
    source = latent_sources(bijector, (4, 6, 2))
    np.testing.assert_array_equal(z, x.reshape(2, -1)[:, source])


def test_what_has_no_position_is_refused():
    with pytest.raises(ValueError, match="inverted"):
        placed_leaves(Inverse(Squeeze()), (4, 4, 1))
    late = Chain([Squeeze(), FactorOut(Logit()), ChannelPermutation()])
    with pytest.raises(ValueError, match="bijectors_2 follows a split"):
        placed_leaves(late, (4, 4, 1))
    with pytest.raises(ValueError, match=r"\(2, 3, 3, 1\).*\(4, 4, 1\)"):
        to_image(np.zeros((2, 3, 3, 1)), np.arange(16).reshape(4, 4, 1), (4, 4, 1))
