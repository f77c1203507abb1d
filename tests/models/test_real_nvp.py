"""RealNVP: the paper's parameter counts, its structure, and what it refuses."""

import math
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from flowjax_ood import masks
from flowjax_ood.bijectors import AffineCoupling, Logit, Squeeze, walk
from flowjax_ood.distributions import standard_normal_log_prob
from flowjax_ood.models import Glow, RealNVP, TabularRealNVP

GRAY, RGB = (28, 28, 1), (32, 32, 3)
TINY = {"width": 4, "blocks": 1}


def variables_of(flow, x=None):
    """Shapes of the variables: nothing is computed."""
    x = jnp.zeros((2, *flow.event_shape)) if x is None else x
    return jax.eval_shape(flow.init, jax.random.key(0), x)


def count(flow) -> int:
    params = jax.tree.leaves(variables_of(flow)["params"])
    return sum(math.prod(p.shape) for p in params)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("flow", "params"),
    [
        (RealNVP(GRAY), 14_707_336),
        (RealNVP(RGB, scales=3, blocks=8), 87_859_080),
        (RealNVP(GRAY, scales=1, couplings=8, blocks=8), 5_063_744),
        (RealNVP(GRAY, scales=1, couplings=8, mask="horizontal"), 3_809_344),
        (RealNVP(RGB, scales=1, couplings=8, blocks=8), 5_084_352),
        (
            RealNVP(GRAY, scales=1, couplings=3, blocks=8, mask="horizontal"),
            1_898_904,
        ),
        (RealNVP(GRAY, st_net="resnet_ae", latent_dim=10), 20_652_396),
        (RealNVP(GRAY, st_net="resnet_ae", latent_dim=100), 79_359_216),
        # st-networks as in the paper's table, and 2 numbers a channel of each rescale
        (
            RealNVP(GRAY, st_net="autoencoder", latent_dim=10),
            3 * (503_756 + 2) + 7 * (473_038 + 4),
        ),
        (
            RealNVP(GRAY, scales=1, st_net="autoencoder", latent_dim=100),
            4 * (872_486 + 2),
        ),
        (TabularRealNVP(15), 621_024),
        (TabularRealNVP(50), 837_184),
        (TabularRealNVP(1792, width=64, layers=8), 3_076_608),
    ],
)
def test_parameter_counts_of_the_paper(flow, params):
    assert count(flow) == params


def test_structure_of_two_scales():
    flow = RealNVP(GRAY)
    parts = [b for _, b in walk(flow.bijector)]
    kinds = [type(b) for b in parts]
    coupling = AffineCoupling
    assert kinds == [Logit, *[coupling] * 3, Squeeze, *[coupling] * 7]
    assert flow.latent_shape() == ((14, 14, 2), (14, 14, 2))
    couplings = [b for b in parts if isinstance(b, AffineCoupling)]
    assert [b.index for b in couplings] == [0, 1, 2, 0, 1, 2, 0, 1, 2, 3]
    checker, channel = masks.alternate_checkerboard, masks.alternate_channel_wise
    assert [b.mask for b in couplings] == [checker] * 3 + [channel] * 3 + [checker] * 4
    widths = [b.st_net.keywords["width"] for b in couplings]
    assert widths == [64] * 3 + [128] * 7
    gains = [b.st_net.keywords["input_gain"] for b in couplings]
    assert gains == [2.0] * 3 + [1.0] * 3 + [2.0] * 4


def test_latents_of_three_scales_lose_nothing():
    flow = RealNVP(RGB, scales=3)
    assert flow.latent_shape() == ((16, 16, 6), (8, 8, 12), (8, 8, 12))
    assert flow.dims == 3072


@pytest.mark.parametrize("mask", ["horizontal", "vertical", "cycle", "center"])
def test_single_scale_masks_by_name(mask):
    flow = RealNVP((12, 12, 1), scales=1, couplings=8, mask=mask)
    couplings = [b for _, b in walk(flow.bijector) if isinstance(b, AffineCoupling)]
    assert [b.mask for b in couplings] == [masks.strategy(mask)] * 8
    assert [b.index for b in couplings] == list(range(8))
    # the doubled input belongs to checkerboards alone
    assert {b.st_net.keywords["input_gain"] for b in couplings} == {1.0}
    assert flow.latent_shape() == (12, 12, 1)


def test_a_mask_and_an_st_network_of_a_user():
    def rows(k, shape):
        odd = np.arange(shape[0])[:, None] % 2 == k % 2
        plane = np.broadcast_to(odd, shape[:2])
        return masks.complementary(masks.broadcast(plane, shape))

    class Small(nn.Module):
        width: int

        @nn.compact
        def __call__(self, x, features, cond=None):
            h = nn.relu(nn.Conv(self.width, (1, 1), name="lift")(x))
            return nn.Conv(features, (3, 3), name="head")(h)

    flow = RealNVP((4, 4, 1), mask=rows, st_net=partial(Small, width=3))
    shapes = variables_of(flow)["params"]["bijector"]
    first = shapes["bijectors_1"]["st_net"]["lift"]["kernel"]
    last = shapes["bijectors_8"]["inner"]["bijectors_3"]["st_net"]["lift"]["kernel"]
    assert first.shape == (1, 1, 1, 3)
    assert last.shape == (1, 1, 2, 3)


def test_norm_and_skip_decide_the_variables():
    with_all = variables_of(RealNVP((4, 4, 1), scales=1, **TINY))
    bare = RealNVP((4, 4, 1), scales=1, norm="none", skip=False, **TINY)
    assert set(with_all) == {"params", "batch_stats"}
    assert set(variables_of(bare)) == {"params"}
    names = set(variables_of(bare)["params"]["bijector"]["bijectors_1"]["st_net"])
    assert names == {"in_conv", "block_0", "out_conv"}


@pytest.mark.thorough
def test_zero_init_starts_as_the_logit_alone():
    flow = RealNVP((4, 4, 1), scales=1, norm="none", zero_init=True, alpha=0.1, **TINY)

    def latents(key, x):
        variables = flow.init(key, x)
        return flow.apply(variables, x, method="latents")

    x = jax.random.uniform(jax.random.key(0), (2, 4, 4, 1))
    fast = {"xla_backend_optimization_level": 0}
    z = jax.jit(latents, compiler_options=fast)(jax.random.key(1), x)
    p = 0.1 + 0.8 * x
    np.testing.assert_allclose(z, np.log(p / (1 - p)), rtol=1e-4, atol=1e-5)


@pytest.mark.thorough
def test_dropout_acts_with_its_stream_alone():
    flow = TabularRealNVP(6, couplings=2, width=16, dropout=0.5)
    x = jax.random.normal(jax.random.key(0), (4, 6))
    variables = flow.init(jax.random.key(1), x)
    plain = TabularRealNVP(6, couplings=2, width=16).apply(variables, x)
    np.testing.assert_array_equal(flow.apply(variables, x), plain)
    dropped = flow.apply(variables, x, rngs={"dropout": jax.random.key(2)})
    assert (dropped != plain).all()


class Wide(nn.Module):
    """N(0, scale^2 I) with a learned scale."""

    def setup(self):
        self.log_scale = self.param("log_scale", nn.initializers.constant(0.7), ())

    def log_prob(self, z, cond=None):
        narrow = jax.tree.map(lambda a: a * jnp.exp(-self.log_scale), z)
        dims = sum(a[0].size for a in jax.tree.leaves(z))
        return standard_normal_log_prob(narrow) - dims * self.log_scale


@pytest.mark.thorough
@pytest.mark.parametrize(
    "make",
    [
        lambda **k: RealNVP((4, 4, 1), couplings=1, norm="none", **TINY, **k),
        lambda **k: Glow((4, 4, 1), steps=1, width=4, layers=1, **k),
        lambda **k: TabularRealNVP(6, couplings=2, width=4, **k),
    ],
    ids=["real_nvp", "glow", "tabular"],
)
def test_the_base_density_is_an_argument(make):
    plain, wide = make(), make(base=Wide())
    x = jax.random.uniform(jax.random.key(0), (3, *plain.event_shape))
    fast = {"xla_backend_optimization_level": 0}
    quick = partial(jax.jit, compiler_options=fast)
    variables = quick(wide.init)(jax.random.key(1), x)
    assert variables["params"]["base"]["log_scale"] == np.float32(0.7)
    flow = {"params": {"bijector": variables["params"]["bijector"]}}

    @quick
    def parts(x):
        z = plain.apply(flow, x, method="latents")
        return wide.apply(variables, x, method="log_prob_parts"), z

    (log_pz, _), z = parts(x)
    flat = np.concatenate([a.reshape(3, -1) for a in jax.tree.leaves(z)], axis=1)
    expected = scipy.stats.norm(scale=np.exp(0.7)).logpdf(flat).sum(1)
    np.testing.assert_allclose(log_pz, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: RealNVP(GRAY, scales=4), "cannot squeeze 7x7 pixels"),
        (lambda: RealNVP((7, 8, 1)), "cannot squeeze 7x8 pixels"),
        (lambda: RealNVP((8, 8, 3), scales=1, mask="channel"), "even number .* got 3"),
        (
            lambda: RealNVP(GRAY, scales=1, couplings=3, mask="cycle"),
            "never change 196 of 784 dimensions.*a cycle-mask needs 4",
        ),
        (lambda: RealNVP(GRAY, scales=1, couplings=1), "never change 392 of 784"),
        (lambda: RealNVP(GRAY, mask="stripes"), "unknown mask strategy 'stripes'"),
        (
            lambda: RealNVP(GRAY, st_net="vit"),
            "unknown st-network 'vit'; known: resnet",
        ),
        (lambda: RealNVP(GRAY, norm="layer"), "unknown norm 'layer'"),
        (lambda: RealNVP(GRAY, precision="half"), "unknown precision 'half'"),
        (lambda: TabularRealNVP(4, precision="half"), "unknown precision 'half'"),
        (lambda: RealNVP(GRAY, scales=0), "scales=0"),
        (lambda: RealNVP(GRAY, couplings=0), "couplings=0"),
        (lambda: RealNVP((28, 28)), r"\(H, W, C\), got \(28, 28\)"),
        (lambda: RealNVP((8, 8, 1), scales=1, mask="center"), "margin 4 on 8x8"),
        (lambda: TabularRealNVP(1), "D >= 2"),
    ],
)
def test_errors_come_before_any_computation(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_autoencoder_refuses_small_images():
    flow = RealNVP((8, 8, 1), scales=1, st_net="autoencoder")
    with pytest.raises(ValueError, match="cannot take 8x8 images"):
        variables_of(flow)
