"""`samples`: the same noise, run by run and temperature by temperature."""

import json
import shutil

import numpy as np
import pytest

from experiments.cli import run
from experiments.samples import TEMPERATURES
from experiments.samples import command as samples
from flowjax_ood.interface.errors import UserError
from tests.helpers.experiment_runs import CONFIGS, TINY, only_error, snapshot

SMALL = ("--temperatures=0.7,1", "--count=3")


def fails(capsys, *argv) -> str:
    assert run(["samples", *map(str, argv)]) == 2
    return only_error(capsys.readouterr().err)


@pytest.fixture(scope="module")
def two_scales(tmp_path_factory):
    """A run of two scales, small enough to compile in seconds."""
    workdir = tmp_path_factory.mktemp("runs") / "two_scales"
    changes = ("--config.model.scales=2", "--config.model.couplings=1")
    assert run(["train", *TINY, *changes, f"--workdir={workdir}"]) == 0
    return workdir


@pytest.fixture(scope="module")
def drawn(tmp_path_factory, two_scales, tiny_run):
    """What the command leaves for a run of two scales and one of one."""
    out = tmp_path_factory.mktemp("samples")
    argv = ["samples", "--workdir", str(two_scales), str(tiny_run), f"--out={out}"]
    assert run([*argv, *SMALL]) == 0
    return out


@pytest.mark.slow
def test_one_figure_and_the_numbers(drawn, two_scales, tiny_run):
    assert {p.name for p in drawn.iterdir()} == {"samples.png", "samples.json"}
    assert (drawn / "samples.png").read_bytes().startswith(b"\x89PNG\r\n")
    found = json.loads((drawn / "samples.json").read_text())
    assert list(found["runs"]) == ["two_scales", "tiny"]
    for workdir in (two_scales, tiny_run):
        kept = json.loads((workdir / "results.json").read_text())
        of_run = found["runs"][workdir.name]
        for key in ("bits_per_dim", "auroc", "steps"):
            assert of_run[key] == kept[key]
        assert of_run["held_out"]["name"] == "fashion_mnist"
        assert list(of_run["temperatures"]) == ["0.7", "1"]
        for fidelity in of_run["temperatures"].values():
            assert fidelity.pop("non_finite") == 0
            assert set(fidelity) == {"distance", "roughness", "spread"}
            assert all(0.01 < ratio < 100 for ratio in fidelity.values())


def subject(workdir):
    return samples.load(workdir, (), "run")


@pytest.mark.thorough
def test_samples_are_those_of_the_noise_times_the_temperature(tiny_run):
    """Latents back from the samples are the noise, shrunk; the same for every T."""
    tiny = subject(tiny_run)
    noise = np.random.default_rng(0).normal(size=(samples.BATCH, 28, 28, 1))
    noise = noise.astype(np.float32)
    one, finite = samples.draw(tiny, noise, 1.0)
    half, _ = samples.draw(tiny, noise, 0.5)
    assert finite.all()
    assert one.dtype == np.uint8
    x = np.concatenate([one[:8], half[:8]]).astype(np.float32)
    z = tiny.trained.flow.apply(
        tiny.trained.variables, (x + 0.5) / 256, method="latents"
    )
    z = np.split(np.asarray(z), 2)
    inside = (one[:8] > 0) & (one[:8] < 255) & (half[:8] > 0) & (half[:8] < 255)
    assert inside.mean() > 0.5
    # up to 8-bit rounding, which the logit stretches
    np.testing.assert_allclose(z[0][inside], noise[:8][inside], atol=0.1)
    np.testing.assert_allclose(z[1][inside], 0.5 * noise[:8][inside], atol=0.1)


def test_a_sample_that_is_not_finite_is_counted_and_left_out(tiny_run):
    tiny = subject(tiny_run)
    noise = np.zeros((samples.BATCH, 28, 28, 1), np.float32)
    noise[5] = np.nan
    images, finite = samples.draw(tiny, noise, 1.0)
    assert np.flatnonzero(~finite).tolist() == [5]
    assert (images[5] == 128).all()
    real = samples.RealImages(tiny.trained.sets.test.images)
    found = samples.measure(real, images[finite], finite)
    assert found["non_finite"] == 1
    assert np.isfinite(found["distance"])
    none = samples.measure(real, images[:0], np.zeros(4, bool))
    assert none == {
        "distance": None,
        "roughness": None,
        "spread": None,
        "non_finite": 4,
    }


def test_a_run_is_not_evaluated_as_it_is(capsys, tiny_run, tmp_path):
    workdir = shutil.copytree(tiny_run, tmp_path / "run")
    before = snapshot(workdir)
    results = json.loads((workdir / "results.json").read_text())
    (workdir / "results.json").write_text(json.dumps(results | {"steps": 2}))
    where = ("--workdir", workdir, f"--out={tmp_path / 'out'}")
    said = fails(capsys, *where)
    assert "is of step 2, the newest checkpoint of step 4; make it anew: " in said
    (workdir / "results.json").unlink()
    assert "results.json is missing" in fails(capsys, *where)
    assert not (tmp_path / "out").exists()
    assert set(snapshot(workdir)) == set(before) - {"results.json"}


@pytest.mark.thorough
def test_runs_of_other_images_are_refused(capsys, tiny_run, tmp_path):
    other = tmp_path / "other"
    size = ("--config.data.image_size=14", "--config.model.couplings=2")
    assert run(["train", *TINY, *size, f"--workdir={other}"]) == 0
    capsys.readouterr()
    said = fails(capsys, "--workdir", tiny_run, other, f"--out={tmp_path / 'out'}")
    assert "tiny and other cannot be compared: images (28, 28, 1) there" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("--temperatures=0",), "'0' is no number above 0"),
        (("--temperatures=1,1.0",), "different values such as 0.7,1.0"),
        (("--temperatures=warm",), "'warm' is no number"),
        (("--temperatures=",), "'' is no number"),
        (("--count=0",), "'0' is no whole number from 1 to 64"),
        (("--count=65",), "'65' is no whole number from 1 to 64"),
        (("--seed=-1",), "'-1' is no whole number"),
    ],
)
def test_options_out_of_range_are_refused(capsys, argv, said):
    with pytest.raises(SystemExit):
        run(["samples", "--workdir", "w", "--out=o", *argv])
    assert said in capsys.readouterr().err


def test_a_run_given_twice_is_refused(capsys, tiny_run, tmp_path):
    twice = ("--workdir", tiny_run, tiny_run / ".." / "tiny")
    said = fails(capsys, *twice, f"--out={tmp_path / 'out'}")
    assert "names a run more than once" in said
    with pytest.raises(UserError, match="names a run more than once"):
        samples.run_names([tiny_run, tiny_run])


def test_other_folders_are_refused(capsys, tmp_path):
    said = fails(capsys, "--workdir", tmp_path, f"--out={tmp_path / 'out'}")
    assert "holds no run" in said


@pytest.mark.slow
@pytest.mark.parametrize("config", ["cifar10_glow.py", "celeba_realnvp.py"])
def test_colour_flows_have_samples(tmp_path, config):
    where = f"--workdir={tmp_path / 'run'}"
    assert run(["train", f"--config={CONFIGS / config}:smoke", where]) == 0
    assert run(["samples", where, f"--out={tmp_path}", *SMALL]) == 0
    assert (tmp_path / "samples.png").exists()


def test_the_default_options_are_those_of_the_command():
    assert TEMPERATURES == (0.5, 0.7, 0.85, 1.0)
