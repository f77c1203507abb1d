"""The bidirectional LSTM against its recurrence in NumPy."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.models import BiLSTM
from flowjax_ood.precision import BFLOAT16
from tests.helpers.hand_layers import float64, lstm

TINY = BiLSTM(length=11, hidden=5, classes=3)


def tokens(count=4):
    return jax.random.randint(jax.random.key(1), (count, 11), 0, 4, jnp.int32)


@pytest.fixture(scope="module")
def variables():
    return jax.jit(TINY.init)(jax.random.key(0), tokens())


@partial(jax.jit, static_argnames="module")
def taps(variables, x, module=TINY, dropout=None):
    rngs = None if dropout is None else {"dropout": dropout}
    return module.apply(variables, x, method="taps", rngs=rngs)


def test_parameters():
    x = jax.ShapeDtypeStruct((2, 250), jnp.int32)
    variables = jax.eval_shape(BiLSTM().init, jax.random.key(0), x)
    # torch's second bias, 4 gates of 1000 units in 2 directions of 2 layers, would add
    # 16,000
    assert sum(p.size for p in jax.tree.leaves(variables)) == 32_068_026
    found, logits = jax.eval_shape(lambda v, x: taps(v, x, BiLSTM()), variables, x)
    assert {name: a.shape for name, a in found.items()} == {
        "embedding": (2, 1000),
        "lstm_100": (2, 2000),
        "lstm_150": (2, 2000),
        "lstm_200": (2, 2000),
        "lstm_249": (2, 2000),
    }
    assert logits.shape == (2, 10)
    assert set(BiLSTM().layers) == set(found)


@pytest.mark.thorough
@pytest.mark.parametrize("depth", [1, 3])
def test_it_is_what_it_says(depth):
    module = TINY.clone(depth=depth)
    variables = jax.jit(module.init)(jax.random.key(2), tokens())
    p = float64(variables["params"])
    h = p["embedding"][np.asarray(tokens())]
    expected = {"embedding": h.reshape(4, -1)}
    for k in range(depth):
        ahead = lstm(h, p[f"forwards_{k}"], reverse=False)
        back = lstm(h, p[f"backwards_{k}"], reverse=True)
        h = np.concatenate([ahead, back], -1)
    expected |= {f"lstm_{t}": h[:, t] for t in (4, 6, 8, 10)}
    scores = h[:, -1] @ p["classifier"]["kernel"] + p["classifier"]["bias"]
    found, logits = taps(variables, tokens(), module)
    assert set(found) == set(module.layers) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-6)
    np.testing.assert_allclose(logits, scores, atol=1e-6)
    same = jax.jit(module.apply)(variables, tokens())
    np.testing.assert_allclose(logits, same, atol=1e-6)


def test_facts_for_detectors(variables):
    found, logits = taps(variables, tokens())
    w, b = TINY.head(variables)
    assert TINY.penultimate == "lstm_10"
    np.testing.assert_allclose(found["lstm_10"] @ w + b, logits, atol=1e-6)
    assert TINY.mean is TINY.std is None


@pytest.mark.parametrize("length", [6, 7, 8, 9, 10, 37])
def test_taps_of_other_lengths(length):
    at = BiLSTM(length=length).positions
    assert sorted(set(at)) == list(at)
    assert at[-1] == length - 1


def test_initial_values(variables):
    bound = 1 / np.sqrt(5)
    for name, layer in variables["params"].items():
        if "wards" in name:
            for values in layer.values():
                assert 0.7 * bound < np.abs(values).max() <= bound


def test_dropout_acts_with_a_stream_alone(variables):
    one, two, again = (
        taps(variables, tokens(), dropout=jax.random.key(k)) for k in (1, 2, 1)
    )
    plain = taps(variables, tokens())
    assert (one[1] != two[1]).any()
    assert (one[1] != plain[1]).any()
    np.testing.assert_array_equal(one[1], again[1])
    np.testing.assert_array_equal(one[0]["embedding"], plain[0]["embedding"])
    # between layers alone: one layer has none
    shallow = TINY.clone(depth=1)
    params = {k: v for k, v in variables["params"].items() if not k.endswith("wards_1")}
    with_stream, without = (
        taps({"params": params}, tokens(), shallow, dropout)[1]
        for dropout in (jax.random.key(1), None)
    )
    np.testing.assert_array_equal(with_stream, without)


@pytest.mark.thorough
def test_gradients_reach_what_is_read(variables):
    def score(params):
        logits = TINY.apply({"params": params}, tokens())
        return jnp.sum(jax.nn.log_softmax(logits)[:, 0])

    grads = jax.jit(jax.grad(score))(variables["params"])
    assert all(np.isfinite(grad).all() for grad in jax.tree.leaves(grads))
    names = jax.tree_util.tree_leaves_with_path(grads)
    still = {
        jax.tree_util.keystr(path, simple=True, separator=".")
        for path, grad in names
        if not grad.any()
    }
    # what is classified is the end, where the top layer's backward direction begins
    assert still == {"backwards_1.recurrent"}


def test_the_state_is_float32_in_any_precision(variables):
    module = TINY.clone(precision=BFLOAT16)
    found, logits = taps(variables, tokens(), module)
    assert (found["lstm_4"].dtype, logits.dtype) == (jnp.bfloat16, jnp.float32)
    np.testing.assert_allclose(logits, taps(variables, tokens())[1], atol=0.02)


@pytest.mark.parametrize("token", [4, -1, 1_000_000])
def test_an_unknown_token_is_not_taken_for_another(variables, token):
    x = tokens().at[1, 3].set(token)
    finite = np.isfinite(taps(variables, x)[1]).all(-1)
    np.testing.assert_array_equal(finite, [True, False, True, True])


@pytest.mark.parametrize(
    ("x", "module", "error", "message"),
    [
        (np.zeros((1, 11)), TINY, TypeError, "float"),
        (np.zeros((1, 9), np.int32), TINY, ValueError, r"\(1, 9\)"),
        (np.zeros((1, 5), np.int32), BiLSTM(length=5), ValueError, "got 5"),
        (np.zeros((1, 11), np.int32), TINY.clone(depth=0), ValueError, "got 0"),
    ],
)
def test_bad_sequences_are_refused(x, module, error, message):
    with pytest.raises(error, match=message):
        module.init(jax.random.key(0), x)
