"""What is no event, no latents, no number of samples: one error that says so."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.bijectors import Chain, FactorOut, Logit, Squeeze
from flowjax_ood.distributions import Flow

FLAT = Flow(Logit(), (2, 2, 1))
SPLIT = Flow(Chain([Logit(), Squeeze(), FactorOut(Chain([]))]), (4, 4, 1))
KEY = jax.random.key(0)
PART = jnp.zeros((3, 2, 2, 2))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (None, "takes an array of events, got None"),
        ([[0.5]], "got a list"),
        ((PART,), r"got a tuple \(\[3, 2, 2, 2\]\)"),
        (0.5, "got a float"),
        (PART, r"events of shape \[B, 2, 2, 1\], got \(3, 2, 2, 2\)"),
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["log_prob", "latents", "bits_per_dim"])
def test_what_is_no_batch_of_events_is_refused(method, x, message):
    with pytest.raises(ValueError, match=message):
        FLAT.apply({}, x, method=method)


@pytest.mark.parametrize(
    ("flow", "z", "message"),
    [
        (FLAT, PART, r"latents are \[B, 2, 2, 1\], got \[3, 2, 2, 2\]"),
        (FLAT, (PART[..., :1],), r"\[B, 2, 2, 1\], got a tuple \(\[3, 2, 2, 1\]\)"),
        (FLAT, None, "got None"),
        (FLAT, jnp.zeros((3, 2, 2, 1), int), "floating-point, got int32"),
        (FLAT, PART[0, ..., :1], r"got \[2, 2, 1\]"),
        (
            SPLIT,
            PART,
            r"are a tuple \(\[B, 2, 2, 2\], \[B, .*\]\), got \[",
        ),
        (SPLIT, [PART, PART], "got a list"),
        (SPLIT, (PART, PART, PART), r"got a tuple \(\[3, 2, 2, 2\], .*\)"),
        (SPLIT, (PART, PART[:2]), r"got a tuple \(\[3, 2, 2, 2\], \[2, 2, 2, 2\]\)"),
        (SPLIT, (PART, None), r"got a tuple \(\[3, 2, 2, 2\], None\)"),
    ],
)
def test_what_are_no_latents_is_refused(flow, z, message):
    with pytest.raises(ValueError, match=message):
        flow.apply({}, z, method="from_latents")


@pytest.mark.parametrize(
    ("num", "temperature", "message"),
    [
        (-1, 1.0, "num must be at least 0, got -1"),
        (2.5, 1.0, "num must be a whole number, got 2.5"),
        (None, 1.0, "num must be a whole number, got None"),
        (2, -1, "temperature must be a finite number, at least 0, got -1"),
        (2, float("nan"), "got nan"),
        (2, jnp.inf, "got inf"),
        (2, None, "got None"),
        (2, "hot", "got 'hot'"),
    ],
)
def test_numbers_that_cannot_be_sampled_with_are_refused(num, temperature, message):
    with pytest.raises(ValueError, match=message):
        FLAT.apply({}, KEY, num, temperature, method="sample")


def test_no_samples_and_no_temperature_are_possible():
    assert FLAT.apply({}, KEY, np.int64(0), method="sample").shape == (0, 2, 2, 1)
    # at temperature 0: the mode of the base, z = 0, which is x = 1/2
    half = FLAT.apply({}, KEY, 2, jnp.zeros(()), method="sample")
    np.testing.assert_allclose(half, 0.5, rtol=1e-6)
