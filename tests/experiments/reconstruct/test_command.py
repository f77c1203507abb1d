"""`reconstruct`: runs through on small volumes, resumes, and refuses what cannot be."""

import json
import shutil

import numpy as np
import pytest

from experiments.cli import run
from experiments.configs.fashion_mnist_light_field import get_config
from experiments.core.options import CONFIGS
from experiments.reconstruct import command, training
from experiments.reconstruct.pairs import changed_pairs, load_images, pairs
from tests.helpers.experiment_runs import only_error

pytestmark = pytest.mark.thorough

CONFIG = CONFIGS / "fashion_mnist_light_field.py"
ARGUMENTS = ("reconstruct", f"--config={CONFIG}:smoke")
OWN, DIGITS = "fashion_mnist", "mnist"


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """Interrupted within a level, then between two adaptations, and run again."""
    workdir = tmp_path_factory.mktemp("run")
    fit, train = training.fit, command.train

    def in_a_level(initial, step, batches, plan, *, workdir, **how):
        def stopped(number, *part):
            if workdir.name == "level_2" and number == 3:
                raise KeyboardInterrupt
            return batches(number, *part)

        return fit(initial, step, stopped, plan, workdir=workdir, **how)

    def between(*arguments, **how):
        if arguments[-1] == "anew":
            raise KeyboardInterrupt
        return train(*arguments, **how)

    with pytest.MonkeyPatch.context() as patch:
        # a checkpoint before the step at which it stops
        patch.setattr(training, "SAVE_EVERY", 2)
        patch.setattr(training, "fit", in_a_level)
        assert run([*ARGUMENTS, f"--workdir={workdir}"]) == 130
    assert not (workdir / "stages").exists()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "train", between)
        assert run([*ARGUMENTS, f"--workdir={workdir}"]) == 130
    assert (workdir / "adapted" / "fine_tuned").exists()
    assert not (workdir / "results.json").exists()
    assert run([*ARGUMENTS, f"--workdir={workdir}"]) == 0
    return workdir


@pytest.fixture(scope="module")
def found(workdir):
    return json.loads((workdir / "results.json").read_text())


def test_it_goes_on_where_it_was_interrupted(workdir):
    expected = {
        "flows/coupling/coarse": [0, 4, 4],
        "flows/coupling/level_2": [0, 2, 4],
        "flows/coupling/level_1": [0, 4],
        "adapted/fine_tuned/level_1": [0, 4],
        "adapted/anew/level_1": [0],
    }
    for where, steps in expected.items():
        events = (workdir / where / "events.jsonl").read_text()
        started = [
            e for e in map(json.loads, events.splitlines()) if "started" in e["event"]
        ]
        assert [e.get("step", 0) for e in started] == steps


def test_interrupted_or_not_the_numbers_are_the_same(found, tmp_path):
    assert run([*ARGUMENTS, f"--workdir={tmp_path}"]) == 0
    assert json.loads((tmp_path / "results.json").read_text()) == found


def test_run_again_it_computes_nothing(workdir, found, monkeypatch):
    monkeypatch.setattr(command, "certificate", None)
    monkeypatch.setattr(command, "mended", None)
    assert run([*ARGUMENTS, f"--workdir={workdir}"]) == 0
    assert json.loads((workdir / "results.json").read_text()) == found


def test_every_score_is_measured_on_every_set(found):
    sets = found["sets"]
    assert sets[-1] == DIGITS
    assert len(sets) == 7
    rows = {row["name"]: row for row in found["rows"]}
    assert list(rows) == [
        "couplings",
        "affine",
        "local linear",
        "residual",
        "known optics",
        "PCA Gaussian",
    ]
    for row in rows.values():
        assert list(row["sets"]) == sets
        for of in row["sets"].values():
            for key in ("auroc", "auroc_two_sided"):
                value, low, high = of[key]
                assert 0 <= low <= value <= high <= 1
    # of the volume alone: the views are all that changed in the first four sets
    alone = rows["PCA Gaussian"]["sets"]
    assert [alone[name]["auroc"][0] for name in sets[:4]] == [0.5] * 4
    assert alone["inverted"]["auroc"][0] > 0.9
    # of the reconstruction: another volume's views are as good as its own
    assert abs(rows["residual"]["sets"]["views exchanged"]["auroc"][0] - 0.5) < 0.01
    # all that is noise, and of contents nothing
    optics = rows["known optics"]
    assert [optics["sets"][name]["auroc"][0] for name in sets[:4]] == [1] * 4
    for name in sets[4:]:
        assert abs(optics["sets"][name]["auroc"][0] - 0.5) < 0.2
    assert optics["psnr"] is None
    assert optics["mean_score"] == pytest.approx(-(0.02**2), rel=0.05)
    # linear in the views, it sees what is wrong with them
    linear = rows["local linear"]
    assert min(linear["sets"][name]["auroc"][0] for name in sets[:4]) > 0.9
    assert linear["psnr"][OWN] > found["mean_volume_psnr"]
    assert linear["psnr"]["views exchanged"] < linear["psnr"][OWN]


def test_the_stream_rings_after_the_change_and_closed_form_adapts(found):
    stream = found["stream"]
    linear = stream["watched"]["local linear"]
    assert len(linear["log10_wealth"]) == 60
    assert linear["alarm_at"] > 20
    assert linear["missed"] == 0
    assert linear["median_delay"] < 20
    adapted = {of["name"]: of for of in stream["adapted"]}
    assert len(adapted) == 5
    before, after = adapted["local linear, not adapted"], adapted["local linear, anew"]
    assert after["psnr"] > before["psnr"]
    assert after["psnr_old_optics"] < before["psnr_old_optics"]
    assert before["p_old"]["found"] > 0.9
    assert before["p_old"]["alarm_at"] < 20
    # new optics among new optics: whatever the score
    for of in adapted.values():
        assert of["p_new"]["same"] > 1e-3
        assert len(of["p_new"]["log10_wealth"]) == 40


def test_the_files_show_the_numbers(workdir, found):
    table, page = (
        (workdir / name).read_text() for name in ("table.md", "reconstruct.html")
    )
    value, low, high = found["rows"][2]["sets"][DIGITS]["auroc"]
    assert f"{value:.3f} [{low:.2f}, {high:.2f}]" in table
    assert f"{found['rows'][0]['psnr'][OWN]:.1f}" in table
    assert "http://" not in page
    assert (workdir / "reconstruct.png").read_bytes()[:4] == b"\x89PNG"


def test_roles_share_no_image_and_views_belong_to_their_volumes():
    config = get_config("smoke")
    images = load_images(config)
    names = ("train", "calibrate", "adapt", "recalibrate", "test")
    stored = [{i.tobytes() for i in images.roles[role]} for role in names]
    assert sum(map(len, stored[:4])) == len(set.union(*stored[:4]))
    config.light_field.noise = 0.0
    test = pairs(images.roles["test"], "test", 5, config)
    # one view in the middle: the mean plane
    np.testing.assert_allclose(test.y[..., 2], test.x.mean(-1), atol=1e-6)
    changed = changed_pairs(images, test, config)
    np.testing.assert_array_equal(changed["views exchanged"].y[1:], test.y[:-1])
    moved = changed["views moved by a pixel"]
    np.testing.assert_array_equal(moved.y[:, :, 1:], test.y[:, :, :-1])
    np.testing.assert_array_equal(moved.x, test.x)
    for name in ("inverted", "dimmed by half", DIGITS):
        x, y = changed[name]
        np.testing.assert_allclose(y[..., 2], x.mean(-1), atol=1e-6)
    np.testing.assert_allclose(changed["dimmed by half"].y, test.y / 2, atol=1e-6)


def test_splits_of_the_test_set_have_a_name_of_their_own():
    """And replace neither the test pairs nor each other."""
    config = get_config("smoke")
    config.data.ood = ("fashion_mnist:train", "mnist:test", "mnist:train")
    images = load_images(config)
    assert list(images.others) == ["fashion_mnist:train", "mnist:test", "mnist:train"]
    train, a, b = images.others.values()
    np.testing.assert_array_equal(train, images.roles["train"][: len(train)])
    assert (a != b).any()


def test_what_cannot_be_reconstructed(workdir, tmp_path, capsys):
    def said(*overrides, into=tmp_path):
        assert run([*ARGUMENTS, f"--workdir={into}", *overrides]) == 2
        return only_error(capsys.readouterr().err)

    assert "a tenth of 100 training images are 10" in said(
        "--config.data.limit_train=100"
    )
    shutil.rmtree(tmp_path)
    said_of_planes = said("--config.light_field.planes=3")
    assert "level 1 of 2" in said_of_planes
    shutil.rmtree(tmp_path)
    assert "kernel must be odd, got 2" in said("--config.light_field.kernel=2")
    assert "belongs to another config: seed" in said("--config.seed=1", into=workdir)
    assert "weight" in said("--config.light_field.weight=1.0")
