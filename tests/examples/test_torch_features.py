"""The example of PyTorch: what a detector is given, and what it is worth."""

import sys

import numpy as np
import pytest

from tests.examples.running import run_example


def test_without_torch_it_says_how_to_get_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(SystemExit, match=r"^this example .*: pip install torch$"):
        run_example("torch_features", tmp_path, monkeypatch, capsys)


@pytest.mark.thorough
def test_features_tell_what_pixels_do_not(tmp_path, monkeypatch, capsys):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: `peers`")
    torch.set_num_threads(1)
    arguments = ("--steps=60", "--limit=200")
    ran = run_example("torch_features", tmp_path, monkeypatch, capsys, *arguments)
    given, network = ran.names["of_clothing"], ran.names["network"]
    weight, bias = network.head
    assert np.allclose(given.features @ weight + bias, given.logits, atol=1e-4)
    assert ran.names["right"].mean() > 0.6
    aurocs = ran.names["aurocs"]
    # a coder tells digits by itself, and nothing that is upside down
    assert aurocs["size of a PNG"]["digits"].low > 0.9
    coder, network = (aurocs[n]["upside-down"] for n in ("size of a PNG", "KNN"))
    assert coder.low < 0.5 < coder.high < network.low
    assert ran.names["gains"]["upside-down"].low > 0
    calibration = ran.names["calibration"]
    for alpha, of in ran.names["rates"].items():
        promised = calibration.false_alarms(alpha)
        # of few images, and those scatter as well
        noise = 3 * np.sqrt(alpha * (1 - alpha) / 200)
        assert promised.low - noise <= of["clothing"] <= promised.high + noise
