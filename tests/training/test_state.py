"""The initial state: what it holds, and that it can be traced for its shapes."""

import jax
import numpy as np
import pytest

from flowjax_ood.training.optimizers import make_optimizer
from flowjax_ood.training.state import create_state
from tests.helpers.tiny_run import assert_close, dequantized, images, tiny_flow


def initial(average: bool = True, norm: str = "light batch"):
    x = dequantized(images(8))
    optimizer = make_optimizer(1e-3)
    return create_state(
        tiny_flow(norm), optimizer, jax.random.key(0), x, average=average
    )


def shapes(tree):
    return jax.tree.map(lambda a: (a.shape, a.dtype), tree)


@pytest.fixture(scope="module")
def state():
    return initial()


def test_parameters_are_the_flows_own(state):
    flow, x = tiny_flow("light batch"), dequantized(images(8))
    expected = flow.init(jax.random.key(0), x)
    assert_close(state.params, expected["params"])
    assert_close(state.batch_stats, expected["batch_stats"])
    assert state.step == 0
    assert state.step.dtype == np.int32


def test_no_buffer_is_shared(state):
    """Each is donated to the first step once."""
    buffers = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(state)]
    assert len(set(buffers)) == len(buffers)
    assert_close(state.ema, state.params, rtol=0, atol=0)


def test_tracing_gives_the_shapes(state):
    """For a checkpoint's template, and inside a function that is compiled."""
    assert shapes(jax.eval_shape(initial)) == shapes(state)
    assert_close(jax.jit(initial)(), state)


def test_no_room_where_none_is_needed():
    state = jax.eval_shape(lambda: initial(average=False, norm="light"))
    assert state.ema == state.batch_stats == {}
    assert set(state.variables()) == {"params"}
