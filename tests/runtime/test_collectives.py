"""What the compiled training step does between devices, by reading the program."""

import numpy as np
import pytest

from flowjax_ood.runtime.parallel import MODES
from tests.helpers.other_process import found_by

# as in collectives.py, which sets JAX up for itself
DEVICES, STEPS = 8, 2
# loss, bits/dim and its part from the prior
METRICS = 3
LOCAL = ("shard_map", "pmap")
PROGRAMS = ("plain", "group", "scanned")
pytestmark = [pytest.mark.multiprocess, pytest.mark.thorough]


@pytest.fixture(scope="module")
def programs(tmp_path_factory) -> dict[str, dict]:
    """`{program: {fact: value}}` of collectives.py."""
    output = tmp_path_factory.mktemp("collectives") / "found.npz"
    return found_by("collectives", output)


def others(program: dict) -> int:
    """How many operations between devices are not all-reduces."""
    kinds = ("all-gather", "all-to-all", "reduce-scatter", "collective-permute")
    return sum(program[kind].size for kind in kinds)


@pytest.mark.parametrize("norm", ["plain", "group"])
@pytest.mark.parametrize("mode", LOCAL)
def test_a_step_talks_once(programs, mode, norm):
    """One all-reduce, of every gradient, statistic and metric, once each.

    Without batch norm, and with batch norm over groups that are one device's part.
    """
    program = programs[f"{norm} {mode}"]
    assert (program["statistics"] > 0) == (norm == "group")
    once = program["parameters"] + program["statistics"] + METRICS
    assert program["all-reduce"].tolist() == [once]
    assert program["types"].tolist() == ["f32"]
    assert others(program) == 0


@pytest.mark.parametrize("mode", LOCAL)
def test_several_steps_in_a_call_talk_once_each(programs, mode):
    once = programs[f"plain {mode}"]["all-reduce"].tolist()
    assert programs[f"scanned {mode}"]["all-reduce"].tolist() == STEPS * once


@pytest.mark.parametrize("name", ["plain", "group", "scanned", "wide"])
def test_the_compiler_reduces_every_gradient_once(programs, name):
    """Of a global view, XLA places the all-reduces: no gradient is reduced twice.

    How many operations that takes is the compiler's choice (those for GPU and TPU
    combine them by size, as XLA:CPU does), and so is where: of weight norm, `g` and `v`
    both follow from the gradient of one product, which is reduced in their stead. What
    each step moves is therefore the parameters, less at most the gains, and scalars.
    """
    program = programs[name if name == "wide" else f"{name} jit"]
    steps = STEPS if name == "scanned" else 1
    each = program["all-reduce"].sum() / steps
    gradients = each - METRICS - program["statistics"]
    assert program["gains"] > 0
    assert program["parameters"] - program["gains"] <= gradients
    # statistics of groups may be summed as two moments
    assert gradients <= program["parameters"] + program["statistics"]
    assert program["types"].tolist() == ["f32"]
    assert others(program) == 0


def test_fsdp_gathers_parameters_and_reduces_gradients(programs):
    """Every sharded kernel is gathered, and every gradient reduced once.

    XLA:CPU all-reduces and keeps a shard; others may reduce-scatter.
    """
    program = programs["wide fsdp"]
    gathered, sharded = program["all-gather"], program["sharded"]
    assert sharded.size == 4
    for size in set(sharded.tolist()):
        # forward, and again backward, or kept from there
        assert np.sum(gathered == size) in (sharded.size, 2 * sharded.size)
    reduced = program["all-reduce"].sum() + DEVICES * program["reduce-scatter"].sum()
    assert program["parameters"] - program["gains"] <= reduced
    # and scalars: metrics, the norm of what is in shards
    assert reduced <= program["parameters"] + 4 * METRICS


def test_fsdp_divides_the_state_over_the_devices(programs):
    """A device holds its eighth of large arrays, and all of the small ones."""
    whole, program = programs["wide"], programs["wide fsdp"]
    assert whole["argument bytes"] >= whole["state bytes"]
    large = 3 * 4 * program["sharded"].sum()  # Adam: parameters and two moments
    small = program["state bytes"] - large
    batch = whole["argument bytes"] - whole["state bytes"]
    assert program["argument bytes"] == large / DEVICES + small + batch
    assert whole["argument bytes"] / program["argument bytes"] > 0.8 * DEVICES


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", PROGRAMS)
def test_all_of_the_state_is_donated(programs, name, mode):
    """The new state takes the place of the old one, array by array."""
    assert_donated(programs[f"{name} {mode}"], 1)


def test_shards_are_donated(programs):
    assert_donated(programs["wide"], 1)
    sharded, whole = programs["wide fsdp"], programs["wide"]
    batch = whole["argument bytes"] - whole["state bytes"]
    assert_donated(sharded, (sharded["argument bytes"] - batch) / whole["state bytes"])


@pytest.mark.parametrize("mode", MODES)
def test_several_devices_are_given_nothing_unasked(programs, mode):
    """As test_transfers.py has it of one: nor does one device give it to another."""
    assert programs[f"guarded {mode}"]["steps"] == 4
    assert programs[f"guarded {mode}"]["calls"] == 4


def assert_donated(program: dict, share: float) -> None:
    """Outputs 0 to N are the arguments 0 to N, `share` of the state's bytes."""
    everything = list(range(int(program["state leaves"])))
    assert program["alias outputs"].tolist() == everything
    assert program["alias arguments"].tolist() == everything
    assert program["alias bytes"] == round(share * int(program["state bytes"]))
