"""The example of bijectors: laws hold, a mistake is caught, and the map helps."""

import pytest

from tests.examples.running import run_example

pytest.importorskip("sklearn")


@pytest.mark.thorough
def test_laws_tell_and_the_map_helps(tmp_path, monkeypatch, capsys):
    ran = run_example("own_bijector", tmp_path, monkeypatch, capsys, "--steps=200")
    ours, careless = ran.names["checked"].values()
    assert max(ours) < 1e-9
    # two of three laws do not see the mistake
    assert max(careless[:2]) < 1e-9
    assert careless[2] > 0.1
    gain, error = ran.names["gains"]["columns alone"]
    assert gain > 5 * error
    ((before, after),) = ran.numbers(r"([\d.]+) before its map, ([\d.]+) behind it")
    assert after < before
