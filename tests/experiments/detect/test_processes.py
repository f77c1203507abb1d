"""`detect` of two processes, for real: what one process with two devices finds."""

import json
import subprocess

import numpy as np
import pytest

from tests.helpers.experiment_runs import (
    CONFIGS,
    PYTHON,
    ROOT,
    environment,
    read_results,
)
from tests.helpers.run_scripts import free_port

pytestmark = pytest.mark.thorough

# of the outputs, of gradients, of dropout, and of a network that is trained further;
# the figure of layers has FSSD
DETECTORS = ("MSP", "ODIN (fixed setting)", "MC Dropout (mean)", "Outlier Exposure")
TINY = (
    f"--config={CONFIGS / 'fashion_mnist_detect.py'}:smoke",
    "--config.data.image_size=12",
    "--config.data.limit_train=64",
    # 13 of each to test
    "--config.data.limit_test=45",
    "--config.detect.validation=32",
    "--config.detect.networks=1",
    "--config.detect.corrupted=()",
    "--config.train.num_steps=4",
    "--config.exposure.num_steps=2",
    f"--config.detect.detectors={','.join(DETECTORS)}",
)


def detect(workdir, processes: int) -> list[tuple[str, str]]:
    """`(stdout, stderr)` of each of the processes, which share two devices."""
    argv = [*PYTHON, "detect", *TINY, f"--workdir={workdir}"]
    if processes > 1:
        here = f"--coordinator=localhost:{free_port()}"
        argv += [here, f"--num-processes={processes}"]
    env = environment(JAX_NUM_CPU_DEVICES=str(2 // processes))
    started = [
        subprocess.Popen(
            argv + ([f"--process-id={number}"] if processes > 1 else []),
            cwd=ROOT,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(processes)
    ]
    try:
        told = [process.communicate(timeout=200) for process in started]
    finally:
        for process in started:
            process.kill()
    for process, (_, err) in zip(started, told):
        assert process.returncode == 0, err
    return told


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """`{processes: (workdir, what each told)}`."""
    place = tmp_path_factory.mktemp("detect")
    return {
        count: (place / str(count), detect(place / str(count), count))
        for count in (1, 2)
    }


def scores(workdir) -> dict[str, np.ndarray]:
    """`{file/set: scores}`."""
    found = {}
    for file in sorted((workdir / "scores").rglob("*.npz")):
        with np.load(file) as archive:
            for name in json.loads(str(archive["record"]))["sets"]:
                number = len([n for n in found if n.startswith(f"{file.stem}/")])
                found[f"{file.stem}/{name}"] = archive[f"set_{number}"]
    return found


@pytest.mark.multiprocess
def test_two_processes_find_what_one_does(runs):
    (one, _), (two, told) = runs[1], runs[2]
    expected, found = scores(one), scores(two)
    # predicted classes of both sets, true ones of one
    assert len(expected) == 2 * len(DETECTORS) + 3
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert values.shape == (13,)
        scale = np.abs(values).max()
        np.testing.assert_allclose(
            found[name], values, rtol=1e-4, atol=1e-4 * scale, err_msg=name
        )
    table, same = read_results(two), read_results(one)
    assert {row["name"] for row in table["rows"]} == set(DETECTORS)
    assert table["networks"][0]["accuracy"] == same["networks"][0]["accuracy"]
    # one of them writes, and tells
    assert {p.name for p in one.iterdir()} == {p.name for p in two.iterdir()}
    assert "wrote results.json" in told[0][0]
    # the library of collectives says that it is there
    lines = told[1][0].splitlines()
    assert [line for line in lines if "[Gloo]" not in line] == []
    assert "detectors on network" in told[0][1]
    assert "detectors on network" not in told[1][1]


@pytest.mark.multiprocess
def test_two_processes_go_on_with_what_was_kept(runs, tmp_path):
    """All of them, where process 0 finds scores, and where it finds none."""
    workdir, _ = runs[2]
    before = scores(workdir)
    files = sorted((workdir / "scores").rglob("*.npz"))
    gone, stays = files[0], files[1]
    gone.unlink()
    written = stays.stat().st_mtime_ns
    detect(workdir, 2)
    assert stays.stat().st_mtime_ns == written
    after = scores(workdir)
    assert after.keys() == before.keys()
    for name, values in before.items():
        np.testing.assert_array_equal(after[name], values)
