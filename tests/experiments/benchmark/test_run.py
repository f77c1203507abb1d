"""A case compiled and run: every mode, every adapter, a profile, a failure."""

import jax
import numpy as np
import pytest

from experiments.benchmark import run as benchmark_run
from experiments.benchmark.run import MIB, CaseRun, prepare
from experiments.benchmark.work import arguments, build_work, count, fake_batch
from flowjax_ood.data.dequantize import dequantize, example_keys
from tests.experiments.benchmark.test_work import QUICKLY, cases
from tests.helpers.benchmark_runs import fake_run

QUICK = ("model.blocks=0", "model.couplings=2", "model.width=2")


@pytest.mark.thorough
@pytest.mark.parametrize("adapter", ["jit", "shard_map", "pmap"])
def test_training_goes_on_from_call_to_call(adapter):
    (case,) = cases(*QUICK, f"parallel={adapter}")
    startup, call, program = prepare(build_work(case))
    assert (program is None) == (adapter == "pmap")
    first = int(np.ravel(call()[0].step)[0])
    state, metrics = call()
    assert int(np.ravel(state.step)[0]) == first + 1
    assert np.isfinite(metrics["loss"])
    assert startup.startup_seconds > 0
    if adapter == "pmap":
        assert startup[1:] == (None,) * 6
        return
    assert startup.startup_seconds == pytest.approx(sum(startup[1:4]))
    # traced for itself: a trace that was kept from before takes no time
    assert startup.trace_seconds > 0.01
    # the state, a batch and a key go in; all but the metrics takes their place
    sizes = jax.tree.map(lambda a: a.nbytes, state)
    batch = 8 * (28 * 28 + 4)
    assert MIB * startup.argument_mib >= sum(jax.tree.leaves(sizes)) + batch
    assert 0 < MIB * startup.output_mib < 1024
    assert startup.temporary_mib > 0


@pytest.mark.thorough
def test_a_call_takes_as_many_steps_as_the_config_says():
    (case,) = cases(*QUICK, "train.steps_per_call=3")
    assert case.settings["steps_per_call"] == 3
    _, call, _ = prepare(build_work(case))
    first, (state, metrics) = int(call()[0].step), call()
    assert state.step == first + 3
    assert metrics["loss"].shape == (3,)


def test_evaluation_computes_the_density_of_every_image():
    (case,) = cases(*QUICK, modes=("evaluate",))
    work = build_work(case)
    _, call, _ = prepare(work)
    variables, batch, key = arguments(work, fake_batch(work))
    x = dequantize(batch["image"], example_keys(key, batch["index"]))
    density = jax.jit(work.flow.apply, compiler_options=QUICKLY)(variables, x)
    np.testing.assert_allclose(call(), density, rtol=1e-5)


def test_sampling_draws_a_batch():
    (case,) = cases(*QUICK, modes=("sample",))
    _, call, _ = prepare(build_work(case))
    drawn = np.asarray(call())
    assert drawn.reshape(-1, 28, 28, 1).shape[0] == 8
    assert np.isfinite(drawn).all()
    assert drawn.std() > 0.01


def test_a_run_is_prepared_timed_and_released():
    (case,) = cases(*QUICK, modes=("evaluate",))
    run = CaseRun(case, "evaluate", count(case))
    run.prepare()
    run.time(seconds=0.01)
    run.time(seconds=0)
    assert len(run.rounds) == 2
    assert len(run.rounds[1]) == 1
    run.release()
    assert run.call is None


def test_a_failure_is_kept_in_one_line(capsys):
    run = fake_run()
    run.call = print
    with run.failures_kept():
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: 4 TiB\nand much more")
    assert run.error == "JaxRuntimeError: RESOURCE_EXHAUSTED: 4 TiB"
    assert run.call is None
    assert capsys.readouterr().err == ""


def test_a_mistake_says_where_it_is(capsys):
    run = fake_run()
    with run.failures_kept():
        raise KeyError("x")
    assert run.error == "KeyError: 'x'"
    assert "Traceback" in capsys.readouterr().err


def test_an_interrupt_is_no_failure():
    run = fake_run()
    with pytest.raises(KeyboardInterrupt), run.failures_kept():
        raise KeyboardInterrupt
    assert run.error is None


def test_the_allocators_peak_is_the_largest_of_all_devices(monkeypatch):
    class Device:
        def __init__(self, stats):
            self.memory_stats = lambda: stats

    def peak(*stats):
        monkeypatch.setattr(jax, "local_devices", lambda: [Device(s) for s in stats])
        return benchmark_run.peak_bytes()

    assert peak({"peak_bytes_in_use": 5}, {"peak_bytes_in_use": 7}) == 7
    assert peak(None) is None
    assert peak({"peak_bytes_in_use": 5}, {}) is None
