"""Timing of calls, and the measured peak."""

import time

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.benchmark.throughput import make_rows
from experiments.benchmark.timing import measured_peak, medians, time_round, warm_up
from flowjax_ood.precision import FLOAT32
from flowjax_ood.runtime.parallel import Parallel
from tests.helpers.benchmark_runs import fake_run


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
    run = fake_run([[1.0, 2.0, 3.0], [10.0]])
    (row,) = make_rows([run], {"float32": 1e12}, paired=False)
    everything = [1.0, 2.0, 3.0, 10.0]
    quantiles = 1e3 * np.quantile(everything, [0.1, 0.5, 0.9])
    found = [row[f"step_ms_p{q}"] for q in (10, 50, 90)]
    assert found == pytest.approx(quantiles)
    assert medians(run.rounds) == [2.0, 10.0]
    assert row["steps"] == 4


@pytest.mark.thorough
def test_the_peak_is_that_of_products_and_convolutions():
    found = measured_peak(Parallel(), FLOAT32, seconds=0.02)
    assert set(found) == {"matmul", "convolution"}
    # any machine since 1980, none before 2100
    assert all(1e6 < flops < 1e21 for flops in found.values())
    assert jnp.isfinite(jnp.asarray(list(found.values()))).all()
