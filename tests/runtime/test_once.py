"""A function that runs once gives what its program gives, for less."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.runtime.once import QUICK, run_once


def fail(_):
    raise AssertionError("computed")


def test_it_computes_what_the_function_computes():
    def function(key, tree):
        drawn = jax.random.normal(key, (3, 2))
        summed = jax.lax.scan(lambda c, x: (c + x, c), 0.0, tree["x"])[1]
        return {"drawn": drawn, "sums": summed, "kept": (tree["x"], jnp.zeros(()))}

    args = jax.random.key(3), {"x": jnp.arange(5.0), "unused": np.ones(2)}
    once, whole = run_once(function, *args), jax.jit(function)(*args)
    assert jax.tree.structure(once) == jax.tree.structure(whole)
    for a, b in zip(jax.tree.leaves(once), jax.tree.leaves(whole), strict=True):
        assert isinstance(a, jax.Array)
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_what_no_result_needs_is_left_out():
    def function(x):
        jax.pure_callback(fail, jax.ShapeDtypeStruct((), "float32"), x)
        return 2 * x

    assert run_once(function, jnp.ones(())) == 2
    with pytest.raises(Exception, match="computed"):
        jax.block_until_ready(run_once(needed, jnp.ones(())))


def needed(x):
    return jax.pure_callback(fail, jax.ShapeDtypeStruct((), "float32"), x)


@pytest.mark.parametrize("before", [False, True])
def test_others_compile_as_before(before):
    given = jax.config.read(QUICK)
    jax.config.update(QUICK, before)
    try:
        run_once(jnp.sin, jnp.ones(2))
        assert jax.config.read(QUICK) == before
        with pytest.raises(Exception, match="computed"):
            jax.block_until_ready(run_once(needed, jnp.ones(())))
        assert jax.config.read(QUICK) == before
    finally:
        jax.config.update(QUICK, given)
