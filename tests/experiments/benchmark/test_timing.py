"""Timing of calls, and the measured peak."""

import time

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.benchmark.timing import measured_peak, summary, time_round, warm_up
from flowjax_ood.precision import FLOAT32
from flowjax_ood.runtime.parallel import Parallel


def test_a_round_times_every_call_until_it_is_over():
    calls = []

    def call():
        calls.append(0)
        time.sleep(0.002)

    times = time_round(call, seconds=0.02)
    assert len(times) == len(calls) >= 2
    assert all(seconds >= 0.002 for seconds in times)
    # a round shorter than a call still has one
    assert len(time_round(call, seconds=0)) == 1


def test_warm_up_calls_are_those_asked_for():
    calls = []
    warm_up(lambda: calls.append(0), calls=3)
    assert len(calls) == 3


def test_the_summary_is_of_all_calls_and_of_each_round():
    timing = summary([[1.0, 2.0, 3.0], [10.0]])
    everything = [1.0, 2.0, 3.0, 10.0]
    quantiles = np.quantile(everything, [0.1, 0.5, 0.9])
    assert (timing.p10, timing.p50, timing.p90) == pytest.approx(quantiles)
    assert timing.repeats == [2.0, 10.0]
    assert timing.calls == 4


def test_the_peak_is_that_of_products_and_convolutions():
    found = measured_peak(Parallel(), FLOAT32, seconds=0.02)
    assert set(found) == {"matmul", "convolution"}
    # any machine since 1980, none before 2100
    assert all(1e6 < flops < 1e21 for flops in found.values())
    assert jnp.isfinite(jnp.asarray(list(found.values()))).all()
