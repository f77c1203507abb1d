"""Whatever an st-network keeps, writes and draws, a repeated block does, too."""

from functools import cache, partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood import masks
from flowjax_ood.bijectors import AffineCoupling, Chain, Repeat, restack

N = 3
SETTINGS = [
    {"mode": "scan"},
    {"mode": "unroll", "remat": "full"},
    {"mode": "scan", "reversible": True},
]
X = jax.random.normal(jax.random.key(0), (2, 4))
same = partial(jax.tree.map, partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6))


class Eventful(nn.Module):
    """Constants, counts, a loss on the side, and noise where there is a stream."""

    @nn.compact
    def __call__(self, x, features, cond=None):
        h = nn.Dense(3)(x)
        h = h + self.variable("constants", "offset", self.drawn, "offsets", (3,)).value
        calls = self.variable("counts", "calls", jnp.zeros, (), jnp.int32)
        if self.is_mutable_collection("counts"):
            calls.value += 1
        if self.has_rng("noise"):
            h = h + self.drawn("noise", h.shape)
        self.sow("losses", "l2", jnp.sum(h**2))
        return nn.Dense(features)(jnp.tanh(h))

    def drawn(self, stream, shape):
        return jax.random.normal(self.make_rng(stream), shape)


def coupling(k=0):
    return AffineCoupling(Eventful, masks.alternate_halves, k)


CHAIN = Chain([coupling(k) for k in range(N)])
WRITTEN = ["losses", "counts"]


@cache
def program(index):
    """Everything that setting gives, compiled at once; None is the chain."""
    bijector = CHAIN if index is None else Repeat(coupling(), N, **SETTINGS[index])

    def loss(trained, rest):
        (z, logdet), sown = bijector.apply(trained | rest, X, mutable=WRITTEN)
        # nothing is written here: a reversible stack keeps nothing
        quiet, _ = bijector.apply(trained | rest, X)
        side = sum(map(jnp.sum, jax.tree.leaves(sown["losses"])))
        return side + jnp.sum(z * jnp.arange(4)) + logdet[0] + jnp.sum(quiet**3), sown

    return bijector, jax.jit(jax.value_and_grad(loss, has_aux=True))


@cache
def initialised():
    init = jax.jit(Repeat(coupling(), N).init)
    keys = {"params": jax.random.key(1), "offsets": jax.random.key(2)}
    return init(keys, X), init(keys | {"offsets": jax.random.key(3)}, X)


def parts():
    """`(what is trained, the rest)` of the variables."""
    variables = initialised()[0]
    rest = {"counts": variables["counts"]}
    return {c: variables[c] for c in ("params", "constants")}, rest


def separate(variables, repeat):
    return {c: restack(repeat, tree, CHAIN) for c, tree in variables.items()}


def test_every_repetition_starts_with_a_part_of_each_collection():
    variables, other = initialised()
    offsets = variables["constants"]["stack"]["st_net"]["offset"]
    assert offsets.shape == (N, 3)
    assert len(np.unique(offsets)) == offsets.size
    np.testing.assert_array_equal(variables["counts"]["stack"]["st_net"]["calls"], 1)
    # another key for the stream of the offsets changes them, and them alone
    same(other["params"], variables["params"])
    assert (other["constants"]["stack"]["st_net"]["offset"] != offsets).all()


@pytest.mark.thorough
@pytest.mark.parametrize("index", range(len(SETTINGS)))
def test_values_writings_and_gradients_are_those_of_a_chain(index):
    repeat, run = program(index)
    (value, sown), gradients = run(*parts())
    alone = [separate(tree, repeat) for tree in parts()]
    (expected, written), derivatives = program(None)[1](*alone)
    same(value, expected)
    assert set(sown) == set(WRITTEN)
    same(separate(sown, repeat), dict(written))
    same(separate(gradients, repeat), dict(derivatives))


@pytest.mark.parametrize("setting", [SETTINGS[0], SETTINGS[2]], ids=str)
def test_noise_is_of_every_repetition_and_the_same_on_the_way_back(setting):
    repeat, variables = Repeat(coupling(), N, **setting), initialised()[0]

    @jax.jit
    def there_and_back(key):
        z, _ = repeat.apply(variables, X, rngs={"noise": key})
        undo = {"rngs": {"noise": key}, "method": "inverse", "mutable": ["losses"]}
        (x, _), sown = repeat.apply(variables, z, **undo)
        return z, x, sown["losses"]["stack"]["st_net"]["l2"][-1]

    (z, back, hidden), (other, _, changed) = map(
        there_and_back, jax.random.split(jax.random.key(4))
    )
    same(back, X)
    assert (jnp.abs(z - other) > 1e-4).all()
    # every repetition's hidden units are under noise
    assert (jnp.abs(hidden - changed) > 1e-4).all()


def test_a_network_that_always_writes_is_initialised():
    class Writing(nn.Module):
        @nn.compact
        def __call__(self, x, features, cond=None):
            self.variable("batch_stats", "calls", jnp.zeros, ()).value += 1
            return nn.Dense(features)(x)

    block = AffineCoupling(Writing, masks.alternate_halves)
    variables = Repeat(block, N).init(jax.random.key(0), X)
    np.testing.assert_array_equal(
        variables["batch_stats"]["stack"]["st_net"]["calls"], np.ones(N)
    )
    _, updates = Repeat(block, N).apply(variables, X, mutable=True)
    assert set(updates) == {"params", "batch_stats", "intermediates"}
    calls = updates["batch_stats"]["stack"]["st_net"]["calls"]
    np.testing.assert_array_equal(calls, np.full(N, 2))
    with pytest.raises(ValueError, match="cannot train batch norm"):
        Repeat(block, N, reversible=True).apply(variables, X, mutable=["batch_stats"])
