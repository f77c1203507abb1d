"""Detectors on several devices: every row scored once, as on one device."""

import os
import subprocess

import jax
import numpy as np
import pytest

from flowjax_ood.ood.batched import batches, in_batches, spread
from tests.helpers.run_scripts import ROOT, script_command

pytestmark = pytest.mark.thorough

# those of four_devices.py
NAMES = (
    *("features", "outputs", "neighbours", "class means", "odin", "mahalanobis"),
    *("fssd", "fssd of a batch", "dropout", "dropout's spread", "ensemble"),
)


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict:
    """What four_devices.py leaves."""
    output = tmp_path_factory.mktemp("four") / "found.npz"
    done = subprocess.run(
        script_command("four_devices", output),
        cwd=ROOT,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return dict(np.load(output))


@pytest.mark.multiprocess
@pytest.mark.parametrize("name", NAMES)
def test_scores_do_not_depend_on_devices(found, name):
    one, four = found[f"one/{name}"], found[f"four/{name}"]
    assert name == "features" or one.shape == (85,)
    scale = np.abs(one).max()
    assert one.std() > 0.01 * scale  # rows in another order would differ
    np.testing.assert_allclose(four, one, rtol=1e-5, atol=1e-5 * scale)


@pytest.mark.multiprocess
def test_batches_are_split_over_all_devices(found):
    assert list(found["devices"]) == [4]
    assert {n.removeprefix("four/") for n in found if "four" in n} == set(NAMES)


# --- where rows go, seen on one device ------------------------------------------------


def run(x, batch_size, multiple):
    """What `put` is given, and what comes out."""
    given = []

    def put(rows):
        given.append(rows)
        return rows

    with spread(put, jax.device_get, multiple):
        out = in_batches(lambda rows: 2 * rows, x, batch_size)
    return given, out


@pytest.mark.parametrize("batch_size", [1, 4, 5, 13, 20])
@pytest.mark.parametrize("multiple", [1, 3, 8])
def test_every_row_once_in_full_batches(batch_size, multiple):
    x = np.arange(13.0)
    given, out = run(x, batch_size, multiple)
    np.testing.assert_array_equal(out, 2 * x)
    width = {len(rows) for rows in given}
    assert len(width) == 1
    assert width.pop() % multiple == 0
    # the same company as without: what fills a batch comes after it
    size = min(batch_size, 13)
    for number, rows in enumerate(given):
        own = x[number * size : (number + 1) * size]
        np.testing.assert_array_equal(rows[: len(own)], own)
        np.testing.assert_array_equal(rows[len(own) :], own[0])


def test_trees_are_put_and_fetched_whole():
    x = {"a": np.arange(5), "b": np.ones((5, 2))}
    given, out = run(x["a"], 2, 4)
    assert [len(rows) for rows in given] == [4, 4, 4]
    with spread(lambda tree: tree, lambda tree: tree | {"seen": tree["a"]}, 4):
        found = list(batches(lambda tree: tree, x, 5))
    np.testing.assert_array_equal(found[0]["seen"], x["a"])
    assert found[0]["b"].shape == (5, 2)
    np.testing.assert_array_equal(out, 2 * x["a"])


def test_it_ends_with_its_block():
    with pytest.raises(KeyError), spread(None, None, 1):
        raise KeyError
    np.testing.assert_array_equal(in_batches(np.sqrt, np.full(3, 4.0), 2), 2)


def test_no_multiple_is_refused():
    with pytest.raises(ValueError, match="multiple of 1 or more rows, not 0"):
        run(np.arange(3), 1, 0)
