"""`maps`: sums are bits/dim, differences are to the median test image."""

import json

import numpy as np
import pytest

from experiments.cli import run
from experiments.core.evaluation import TrainedFlow
from flowjax_ood import ood
from flowjax_ood.ood.flows.likelihood_map import event_maps
from tests.helpers.experiment_runs import only_error


def fails(capsys, *argv) -> str:
    assert run(["maps", *map(str, argv)]) == 2
    return only_error(capsys.readouterr().err)


def test_one_figure_and_the_numbers(tiny_run, tmp_path, capsys):
    argv = ["maps", f"--workdir={tiny_run}", f"--out={tmp_path}"]
    assert run([*argv, "--images=1,3", "--count=15"]) == 0
    assert {p.name for p in tmp_path.iterdir()} == {"maps.png", "maps.json"}
    assert (tmp_path / "maps.png").read_bytes().startswith(b"\x89PNG\r\n")
    assert "bits/dim: the median" in capsys.readouterr().out
    found = json.loads((tmp_path / "maps.json").read_text())
    trained = TrainedFlow.restore(tiny_run)
    assert found["in_distribution"] == "fashion_mnist"
    assert found["shown"] == [1, 3]
    assert set(found["images"].values()) == {15}
    own, other = found["runs"]["tiny"].values()
    assert not np.any(own["median_difference_bits"])
    flow = ood.ScoredFlow(
        trained.flow, trained.variables, seed=trained.config.eval.seed
    )
    (name, outliers), *_ = trained.sets.ood.items()
    assert list(found["runs"]["tiny"]) == ["fashion_mnist", name]
    bits = flow.collect(outliers.events[:15]).log_prob / np.log(2) / 784
    expected = 8 - bits
    assert other["median_bits_per_dim"] == pytest.approx(np.median(expected), abs=1e-4)
    np.testing.assert_allclose(
        other["bits_per_dim_of_shown"], expected[[1, 3]], atol=1e-4
    )
    gained = other["gained_bits_per_dim"] - other["lost_bits_per_dim"]
    typical = np.array(other["median_difference_bits"])
    assert gained == pytest.approx(typical.mean(), abs=1e-3)
    assert 0 < other["gained_bits_per_dim"] < np.abs(typical).mean()
    medians = [
        np.median(event_maps(flow, x.events[:15])[..., 0], 0)
        for x in (trained.sets.test, outliers)
    ]
    np.testing.assert_allclose(
        other["median_difference_bits"],
        (medians[1] - medians[0]) / np.log(2),
        atol=2e-3,
    )


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--images=0,0", "names a value twice"),
        ("--images=-1", "'-1' is no whole number"),
        ("--count=1", "'1' is no whole number of at least 2"),
    ],
)
def test_options_out_of_range_are_refused(capsys, option, said):
    with pytest.raises(SystemExit):
        run(["maps", "--workdir=w", "--out=o", option])
    assert said in capsys.readouterr().err


def test_images_that_a_set_lacks_are_named(tiny_run, tmp_path, capsys):
    out = tmp_path / "out"
    said = fails(capsys, f"--workdir={tiny_run}", f"--out={out}", "--images=0,20")
    assert "--images 20: fashion_mnist has images 0 to 19" in said
    assert not out.exists()


def test_a_run_named_twice_and_a_flow_without_maps(
    tiny_run, tmp_path, capsys, monkeypatch
):
    out = f"--out={tmp_path / 'out'}"
    said = fails(capsys, "--workdir", tiny_run, tiny_run, out)
    assert "names a run more than once" in said

    def none(*_):
        raise ValueError("the log-determinant of Haar is no sum over values")

    monkeypatch.setattr("experiments.maps.command.event_maps", none)
    said = fails(capsys, f"--workdir={tiny_run}", out)
    assert f"{tiny_run}: no likelihood map" in said
    assert "Haar" in said
