"""What may depend on what: the cycle-mask and the bottleneck, by Jacobians.

That a coupling uses and changes what its mask says is among the laws of `test_laws.py`.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood import masks
from flowjax_ood.bijectors import AffineCoupling, Chain
from flowjax_ood.networks import Autoencoder, ResNet, ResNetAE
from tests.helpers.generic_variables import generic_variables
from tests.helpers.law_runs import flat, run
from tests.helpers.law_table import bare


def home_jacobians(strategy, start, counts):
    """How the part coupling `start` sees depends on itself, after so many couplings.

    One Jacobian of that part's outputs by its inputs for each of `counts`.
    """
    shape = (4, 4, 1)
    rng = np.random.default_rng(start)
    x = jnp.asarray(rng.normal(size=(1, *shape)), jnp.float32)
    chain = [AffineCoupling(bare, strategy, start + k) for k in range(max(counts))]
    variables = generic_variables(Chain(chain), rng, x)
    home = strategy(start, shape).seen.ravel()

    def latents(x):
        steps = [Chain(chain[:count]) for count in counts]
        return [flat(step.apply(variables, x[None])[0])[0] for step in steps]

    for jacobian in run(jax.jacfwd(latents), x[0]):
        yield jacobian.reshape(16, 16)[np.ix_(home, home)]


def mixes(jacobian) -> bool:
    """Whether an output depends on an input of another position."""
    return np.abs(jacobian - np.diag(np.diag(jacobian))).max() > 1e-6


@pytest.mark.parametrize("start", range(4))
def test_cycle_brings_information_back_after_four_couplings(start):
    after_three, after_four = home_jacobians(masks.cycle, start, (3, 4))
    np.testing.assert_array_equal(after_three, np.eye(4))
    assert mixes(after_four)


def test_horizontal_brings_information_back_after_two_couplings():
    # the contrast to the cycle-mask: the shortcut that co-adaptation takes
    after_one, after_two = home_jacobians(masks.alternate_horizontal, 0, (1, 2))
    np.testing.assert_array_equal(after_one, np.eye(8))
    assert mixes(after_two)


def jacobian_rank(net, shape, features, probes=8):
    """Rank, up to `probes`, of the Jacobian of (s, t) by the st-network's input.

    Random directions span the row space as far as they reach.
    """
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(1, *shape)), jnp.float32)
    directions = jnp.asarray(rng.normal(size=(probes, 1, *shape)), jnp.float32)
    variables = generic_variables(net, rng, x, features)

    def pushed(variables, x, directions):
        _, push = jax.linearize(lambda x: net.apply(variables, x, features), x)
        return jax.vmap(push)(directions)

    images = run(pushed, variables, x, directions).reshape(probes, -1)
    singular = np.linalg.svd(images, compute_uv=False)
    print(singular / singular[0])
    return int((singular > 1e-4 * singular[0]).sum())


RESIDUAL = {"width": 4, "blocks": 2, "norm": "batch"}


@pytest.mark.parametrize(
    ("net", "shape", "rank"),
    [
        (ResNetAE(latent_dim=3, **RESIDUAL), (4, 4, 1), 3),
        (Autoencoder(latent_dim=3), (14, 14, 1), 3),
        (ResNet(**RESIDUAL), (4, 4, 1), 8),
    ],
    ids=["resnet_ae", "autoencoder", "resnet"],
)
def test_the_bottleneck_bounds_the_rank(net, shape, rank):
    assert jacobian_rank(net, shape, features=2) == rank


@pytest.mark.thorough
def test_s_is_bounded_and_sown():
    shape = (4, 4, 1)
    subject = AffineCoupling(partial(ResNet, width=4, blocks=1))
    x = 100 * jax.random.normal(jax.random.key(0), (2, *shape))
    variables = generic_variables(subject, np.random.default_rng(0), x)
    (_, logdet), state = subject.apply(variables, x, mutable=["intermediates"])
    (s,), (t,) = state["intermediates"]["s"], state["intermediates"]["t"]
    assert s.shape == t.shape == x.shape
    bound = jnp.abs(variables["params"]["rescale"]["g"])
    assert (jnp.abs(s) <= bound).all()
    changed = ~masks.checkerboard(shape)
    np.testing.assert_allclose(logdet, (s * changed).sum((1, 2, 3)), rtol=1e-5)
