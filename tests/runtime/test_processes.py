"""Two processes with two devices each do what one process with four does."""

import numpy as np
import pytest

from flowjax_ood.runtime.parallel import MODES
from flowjax_ood.runtime.processes import on_all, on_lead
from tests.helpers.run_scripts import run_script
from tests.helpers.tiny_run import BATCH

pytestmark = [
    pytest.mark.multiprocess,
    pytest.mark.slow,
    # its fixture is made once
    pytest.mark.xdist_group("processes"),
]


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict[str, dict[str, dict]]:
    """`{"one" | "two": {experiment: {name: array}}}`, by processes."""
    room, both = tmp_path_factory.mktemp("processes"), {}
    for name, processes, devices in (("one", 1, 4), ("two", 2, 2)):
        output = room / f"{name}.npz"
        run_script("some_processes", output, processes, devices)
        both[name] = {}
        with np.load(output) as arrays:
            for key, value in arrays.items():
                experiment, _, of = key.partition("/")
                both[name].setdefault(experiment, {})[of] = value
    return both


def assert_agree(found: dict, expected: dict) -> None:
    assert found.keys() == expected.keys()
    assert len(found) > 3
    for name, value in found.items():
        np.testing.assert_allclose(
            value, expected[name], rtol=1e-5, atol=1e-7, err_msg=name
        )


RUNS = (*MODES, "wide", "fsdp", "fsdp half", "three a call", "mixed", "stopped")


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("what", ["", " saved", " metrics"])
def test_processes_agree(found, run, what):
    """On the state, on what is restored from checkpoints, and on all metrics."""
    assert_agree(found["two"][run + what], found["one"][run + what])


@pytest.mark.parametrize("processes", ["one", "two"])
@pytest.mark.parametrize("run", [*MODES[1:], "three a call", "mixed"])
def test_so_do_modes(found, processes, run):
    assert_agree(found[processes][run], found[processes]["jit"])


@pytest.mark.parametrize("processes", ["one", "two"])
@pytest.mark.parametrize("run", ["fsdp", "fsdp half"])
def test_so_do_sharded_states(found, processes, run):
    assert_agree(found[processes][run], found[processes]["wide"])


@pytest.mark.parametrize(("name", "count"), [("all", 4), ("half", 2)])
def test_each_device_holds_its_shard(found, name, count):
    """Of every array with a dimension that divides, kernels among them."""
    for both in found.values():
        here, whole = both[f"shards {name}"]["here"], both[f"shards {name}"]["whole"]
        assert set(whole // here) == {1, count}
        sharded = here < whole
        assert sharded[whole >= 3 * 3 * 4 * 4].all()
        assert here.sum() < whole.sum() / count * 1.5


def test_runs_go_somewhere(found):
    """Or else agreement would mean nothing."""
    metrics = found["two"]["jit metrics"]
    assert metrics["8 loss"] < metrics["3 loss"] - 1
    saved = found["two"]["jit saved"]
    assert (saved["4 images"], saved["8 images"]) == (3 * BATCH, 7 * BATCH)
    assert {name.split()[0] for name in saved} == {"4", "8"}


def test_early_stopping_keeps_the_best(found):
    assert found["two"]["stopped"]["step"] == 4
    assert "8 validation" in found["two"]["stopped metrics"]


@pytest.mark.parametrize("size", [3, 16])
def test_every_image_is_scored_once(found, size):
    one, two = (found[n][f"likelihood {size}"]["log_prob"] for n in ("one", "two"))
    assert two.shape == (13,)
    np.testing.assert_allclose(two, one, rtol=1e-6)


def test_what_fails_on_one_process_fails_on_all(found):
    [own] = [v for k, v in found["two"].items() if k.startswith("agreement")]
    assert own["said"] == "process 1 of 2: no file on 1"
    # whatever the length of what process 0 says
    assert (own["told"], own["where"]) == (12_000, 0)


def test_one_process_needs_nobody():
    assert on_all(lambda: 3) == on_lead(lambda: 3) == 3
    for together in (on_all, on_lead):
        with pytest.raises(KeyError):
            together(lambda: {}["a"])
