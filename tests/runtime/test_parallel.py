"""Data parallelism: the three modes agree with each other and with one device."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.runtime.parallel import MODES, Parallel
from tests.helpers.other_process import found_by
from tests.helpers.tiny_run import KEY, assert_same


@pytest.fixture(scope="module")
def eight(tmp_path_factory) -> dict[str, dict]:
    """`{experiment: {name: array}}` of eight_devices.py."""
    output = tmp_path_factory.mktemp("eight") / "found.npz"
    return found_by("eight_devices", output)


def assert_agree(found, expected, rtol=1e-4, atol=2e-6, only=""):
    """All arrays whose names start with `only` agree up to float32 rounding."""
    names = [n for n, a in expected.items() if n.startswith(only) and a.dtype != bool]
    assert len(names) > 3
    for name in names:
        np.testing.assert_allclose(
            found[name], expected[name], rtol=rtol, atol=atol, err_msg=name
        )


@pytest.mark.thorough
@pytest.mark.multiprocess
def test_actnorm_starts_from_the_whole_batch(eight):
    """However it is split: by the mean and spread of all its images."""
    assert_agree(eight["init eight"], eight["init one"], rtol=1e-5)


@pytest.mark.thorough
@pytest.mark.multiprocess
@pytest.mark.parametrize("mode", MODES)
def test_eight_devices_reach_what_one_does(eight, mode):
    """State and metrics after one step and after five, without batch norm."""
    for step in "15":
        assert_agree(eight[f"light {mode}"], eight["light one"], only=step)


@pytest.mark.multiprocess
@pytest.mark.parametrize("mode", ["pmap", "shard_map"])
def test_modes_agree(eight, mode):
    for step in "15":
        assert_agree(eight[f"light {mode}"], eight["light jit"], only=step)


@pytest.mark.multiprocess
def test_steps_move_the_state(eight):
    """Or else agreement would mean nothing."""
    state = eight["light one"]
    assert state["5 step"] == 5
    moments = [v for n, v in state.items() if ".nu." in n and "rescale.v" not in n]
    assert len(moments) == 2 * 2 * 3  # two times, two couplings, kernel, bias and g
    assert all(v.any() for v in moments)


@pytest.mark.multiprocess
@pytest.mark.parametrize(
    "experiment",
    [f"{norm} {mode}" for norm in ("light", "batch", "ghost") for mode in MODES],
)
def test_state_is_donated_replicated_and_placed_everywhere(eight, experiment):
    found = eight[experiment]
    assert found["round trip"]
    assert found["donated"]
    assert found["copies"] == 1  # distinct values among the devices
    assert found["devices"] == 8


@pytest.mark.multiprocess
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("norm", ["batch", "ghost"])
def test_batch_norm_does_not_depend_on_devices(eight, norm, mode):
    """Neither that of the whole batch nor that of groups. All of the first step: then
    Adam makes steps of the rounding errors in gradients that batch norm makes zero."""
    found, expected = eight[f"{norm} {mode}"], eight[f"{norm} one"]
    for only in ("1 batch_stats", "1 opt_state.2.mu", "1 opt_state.2.nu"):
        assert_agree(found, expected, only=only, atol=1e-5)
    for name in ("loss", "grad_norm"):
        for step in "15":
            at = f"{step} {name}"
            np.testing.assert_allclose(found[at], expected[at], rtol=1e-3)


@pytest.mark.multiprocess
@pytest.mark.parametrize("mode", ["jit", "shard_map"])
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_no_device_waits_for_another_where_each_has_whole_groups(
    eight, mode, direction
):
    """Read off the compiled programs; the whole batch's statistics show in them."""
    counts = [eight[f"collectives {mode} {group}"][direction] for group in (0, 1, 2)]
    assert counts[0] > 0
    assert counts[1:] == [0, 0]


@pytest.mark.multiprocess
def test_statistics_of_the_whole_batch_are_two_all_reduces(eight):
    assert eight["collectives shard_map 0"]["forward"] == 2


@pytest.mark.multiprocess
def test_a_run_goes_on_in_another_mode(eight):
    assert eight["fit mixed"]["step"] == 9
    assert_agree(eight["fit mixed"], eight["fit jit"])


@pytest.mark.multiprocess
@pytest.mark.parametrize("name", ["one 16", "eight 3", "eight 16"])
def test_likelihoods_do_not_depend_on_devices(eight, name):
    found = eight[f"likelihood {name}"]["log_prob"]
    assert found.shape == (13,)
    expected = eight["likelihood one 3"]["log_prob"]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


# ---- on one device


def toy_step(state, batch, key, reduce=lambda tree: tree):
    gradient = reduce(jnp.mean(batch["x"]))
    state = jax.tree.map(lambda p: p - gradient.astype(p.dtype), state)
    return state, {"loss": gradient}


def toy_state():
    return {"w": jnp.ones(1000), "step": jnp.int32(3), "empty": {}}


@pytest.mark.parametrize("mode", MODES)
def test_a_step_takes_its_own_copy(mode):
    """The caller's arrays, of JAX or of NumPy, outlive the donated ones."""
    parallel = Parallel(mode, jax.devices()[:1])
    batch = parallel.place_batch({"x": np.full((4, 2), 2.0, np.float32)})
    for state in (toy_state(), jax.device_get(toy_state())):
        placed = parallel.place_state(state)
        new, metrics = parallel.wrap_step(toy_step)(placed, batch, KEY)
        assert placed["w"].is_deleted()
        assert_same(jax.device_get(state), jax.device_get(toy_state()))
        found = jax.device_get(parallel.global_state(new))
        assert_same(found, {"w": np.full(1000, -1.0), "step": 1, "empty": {}})
        assert found["step"].dtype == np.int32
        assert metrics["loss"] == 2.0


@pytest.mark.parametrize("mode", MODES)
def test_round_trip(mode):
    parallel = Parallel(mode, jax.devices()[:1])
    state = parallel.global_state(parallel.place_state(toy_state()))
    assert_same(jax.device_get(state), jax.device_get(toy_state()))
    again = parallel.global_state(parallel.place_state(state))
    assert_same(jax.device_get(again), jax.device_get(toy_state()))


def test_unknown_modes_are_refused():
    with pytest.raises(ValueError, match="'ddp'; known: jit, pmap, shard_map"):
        Parallel("ddp")


def test_no_devices_are_refused():
    with pytest.raises(ValueError, match="no devices"):
        Parallel("jit", [])


@pytest.mark.parametrize("mode", MODES)
def test_uneven_batches_are_refused(mode):
    # the same device four times: enough to divide by
    parallel = Parallel(mode, jax.devices()[:1])
    parallel.devices = parallel.devices * 4
    for size, message in ((6, "6 does not divide over 4 devices"), (0, "at least 1")):
        with pytest.raises(ValueError, match=message):
            parallel.check_batch_size(size)
        with pytest.raises(ValueError, match=message):
            parallel.place_batch({"x": np.zeros((size, 2))})
    parallel.check_batch_size(8)


@pytest.mark.parametrize("mode", ["jit", "shard_map"])
def test_a_step_compiles_from_shapes_as_from_arrays(mode):
    """For devices whose memory nobody has; the program takes arrays, too."""

    def step(state, batch, key, reduce=lambda tree: tree):
        return state + reduce(batch).sum(), {"noise": jax.random.normal(key)}

    parallel = Parallel(mode, jax.devices()[:1])
    state, batch, key = jnp.zeros(3), np.ones((8, 3), np.float32), KEY
    program = parallel.wrap_step(step)
    shapes = parallel.placed_shapes(state, batch, key)
    compiled = program.lower(*shapes).compile()
    placed = [parallel.place_batch(batch), parallel.place_copies(key)]
    found, expected = (
        jax.device_get(call(parallel.place_state(state), *placed))
        for call in (compiled, program)
    )
    assert_same(found, expected)
    assert found[0].tolist() == [24, 24, 24]
    with pytest.raises(ValueError, match="pmap compiles as it is called"):
        Parallel("pmap").placed_shapes(state, batch, key)
