"""The example of calibration: promises hold on a folder, and drift is found."""

import pytest
from PIL import Image

from flowjax_ood import data
from tests.examples.running import run_example


@pytest.mark.thorough
def test_promises_hold(tmp_path, monkeypatch, capsys):
    ran = run_example(
        "calibrate_and_drift", tmp_path, monkeypatch, capsys, "--steps=30"
    )
    for alpha, (false, found, promised) in ran.names["rates"].items():
        # twice: the test images scatter as those that calibrate
        reach = 2 * max(promised.high - alpha, alpha - promised.low)
        assert abs(false - alpha) <= reach
        assert found >= false
    shares, power = ran.names["shares"], ran.names["power"]
    each, fdr = ran.names["RULES"]
    # one threshold is wrong about half of those it calls new where few are
    assert shares[10, each] > 0.4
    assert max(shares[10, fdr], shares[60, fdr]) < ran.names["LEVEL"]
    assert power[60, fdr] > 0.3
    alarms = ran.names["alarms"]
    assert sum(alarms["no change"][:2]) <= 0.1
    assert alarms["a half is new"][1] > 0.9


@pytest.mark.thorough
def test_a_folder_of_ones_own(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "mine"
    folder.mkdir()
    images = data.load("emoji:people", source="embedded", limit=400).images
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number}.png")
    ran = run_example(
        "calibrate_and_drift",
        tmp_path,
        monkeypatch,
        capsys,
        "--steps=5",
        f"--images={folder}",
    )
    # what is new is the same images, upside down
    assert ran.names["normal"].shape == (400, 28, 28, 1)
    assert ran.names["value"].low > 0.5
