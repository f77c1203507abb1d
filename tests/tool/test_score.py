"""`score`: decisions and a page of other images."""

import csv
import json
import os
import shutil

import numpy as np
import pytest

from flowjax_ood.tool.cli import run
from flowjax_ood.tool.subject import Subject
from tests.tool.conftest import fit, new_images, normal_images, write


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixed")
    write(folder, normal_images(30, 2), "a")
    write(folder, new_images(5, 3), "z")
    return folder


@pytest.fixture(scope="module")
def scored(detector, mixed, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    assert run(["score", str(detector), str(mixed), "--out", str(out)]) == 0
    return out


def records(out):
    return [json.loads(s) for s in (out / "decisions.jsonl").read_text().splitlines()]


def test_new_images_are_found_and_come_first(scored):
    found = {r["image"]: r for r in records(scored)}
    assert len(found) == 35
    assert all(found[f"z00{i}.png"]["decision"] == "new" for i in range(5))
    normal = [r for name, r in found.items() if name[0] == "a"]
    assert sum(r["decision"] == "new" for r in normal) <= 6
    page = (scored / "report.html").read_text()
    first, last = page.index("z000.png"), page.index("a000.png")
    assert first < last
    assert page.count("data:image/png;base64") > 5 * 35 - 5
    assert "<script" not in page


def test_both_files_say_the_same(scored):
    with (scored / "decisions.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row, record in zip(rows, records(scored), strict=True):
        assert row["image"] == record["image"]
        assert row["decision"] == record["decision"]
        assert float(row["p_value"]) == pytest.approx(record["p_value"], rel=1e-5)
        for name, p in record["parts"].items():
            assert float(row[f"p: {name}"]) == pytest.approx(p, rel=1e-5)


def test_the_nearest_of_a_normal_image_is_like_it(detector, scored):
    subject = Subject.read(detector)
    known = {f"{i:03d}.png" for i in range(70)}
    for record in records(scored):
        assert len(record["nearest"]) == 3
        assert set(record["nearest"]) <= known
    assert len(subject.names) == len(subject.thumbnails) == 42


def test_fail_ends_with_status_3(detector, mixed, tmp_path):
    some = write(tmp_path / "some", normal_images(3, 7))
    options = ["--alpha", "0.04", "--fail"]
    assert run(["score", str(detector), str(mixed), *options]) == 3
    p = Subject.read(detector).detector.p_values(
        normal_images(3, 7).reshape(3, -1).astype(np.float32) / 255
    )
    assert (p > 0.04).all()
    assert run(["score", str(detector), str(some), *options]) == 0
    (some / "broken.png").write_bytes(b"none")
    assert run(["score", str(detector), str(some), *options]) == 3


def test_alpha_is_what_the_calibration_supports(detector, mixed, capsys):
    run(["score", str(detector), str(mixed)])
    said = capsys.readouterr()
    assert "alpha is 0.05: 0.01 takes 99 images to calibrate" in said.err
    assert "called new at p <= 0.05" in said.out
    run(["score", str(detector), str(mixed), "--alpha", "0.001"])
    said = capsys.readouterr()
    assert "nothing can be called new at alpha 0.001" in said.err
    assert "takes 999 images to calibrate, this detector has 28" in said.err


def test_fdr_is_of_the_batch(detector, mixed, tmp_path, capsys):
    run(["score", str(detector), str(mixed), "--fdr", "0.3", "--out", str(tmp_path)])
    found = records(tmp_path)
    rejected = [r for r in found if r["decision"] == "new"]
    assert {r["image"][0] for r in rejected} >= {"z"}
    assert all(r["adjusted"] <= 0.3 for r in rejected)
    assert all(r["adjusted"] >= r["p_value"] for r in found)
    assert "at most 30 % are normal on average" in capsys.readouterr().out


def test_images_that_are_known_are_said(detector, normal, capsys):
    run(["score", str(detector), str(normal)])
    said = capsys.readouterr().err
    assert "70 of 70 images are among those that the detector was" in said


@pytest.mark.thorough
def test_an_image_that_cannot_be_normal_ends_nothing(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "x.npz", x=rng.normal(size=(60, 5)))
    assert run(["fit", str(tmp_path / "x.npz"), "--out", str(tmp_path / "v")]) == 0
    np.savez(tmp_path / "y.npz", x=np.full((1, 5), 1e25))
    options = ["--out", str(tmp_path / "out")]
    assert run(["score", str(tmp_path / "v"), str(tmp_path / "y.npz"), *options]) == 0
    assert records(tmp_path / "out")[0]["decision"] == "new"


def test_names_of_files_may_be_any_bytes(detector, tmp_path):
    folder = write(tmp_path / "images", normal_images(2, 4))
    name = os.fsencode(folder) + b"/\xff<b>.png"
    os.rename(folder / "000.png", name)
    options = ["--out", str(tmp_path / "out")]
    assert run(["score", str(detector), str(folder), *options]) == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "&lt;b&gt;.png" in page
    assert (tmp_path / "out" / "decisions.csv").read_text().count("\n") == 3


def test_few_that_calibrate_cannot_bound_discoveries(detector, mixed, capsys):
    run(["score", str(detector), str(mixed), "--fdr", "0.1"])
    said = capsys.readouterr().err
    assert "only if 13 of them have the least p-value, 0.034" in said


def test_archives_of_images_and_embeddings_take_the_same_way(tmp_path, capsys):
    np.savez(tmp_path / "a.npz", images=normal_images(60, 4))
    assert fit(tmp_path / "a.npz", tmp_path / "images") == 0
    np.savez(tmp_path / "b.npz", images=new_images(3, 4))
    assert run(["score", str(tmp_path / "images"), str(tmp_path / "b.npz")]) == 0
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "c.npz", embeddings=rng.normal(size=(60, 5)))
    assert run(["fit", str(tmp_path / "c.npz"), "--out", str(tmp_path / "v")]) == 0
    np.savez(tmp_path / "d.npz", embeddings=9 + rng.normal(size=(3, 5)))
    out = ["--out", str(tmp_path / "out")]
    assert run(["score", str(tmp_path / "v"), str(tmp_path / "d.npz"), *out]) == 0
    assert {r["decision"] for r in records(tmp_path / "out")} == {"new"}
    capsys.readouterr()
    assert run(["score", str(tmp_path / "v"), str(tmp_path / "b.npz")]) == 2
    assert "was fitted to embeddings" in capsys.readouterr().err
    assert run(["score", str(tmp_path / "images"), str(tmp_path / "c.npz")]) == 2
    assert "was fitted to images" in capsys.readouterr().err
    np.savez(tmp_path / "e.npz", embeddings=np.zeros((3, 4)))
    assert run(["score", str(tmp_path / "v"), str(tmp_path / "e.npz")]) == 2
    assert "embeddings of 5 numbers" in capsys.readouterr().err


def test_a_report_replaces_another_and_nothing_else(detector, mixed, scored, capsys):
    for out in (detector, mixed):
        assert run(["score", str(detector), str(mixed), "--out", str(out)]) == 2
        assert "name another directory" in capsys.readouterr().err
    assert run(["score", str(detector), str(mixed), "--out", str(scored)]) == 0
    assert "is replaced" in capsys.readouterr().err


def test_p_values_that_cannot_be_are_in_no_table(scored):
    page = (scored / "report.html").read_text()
    assert '<th scope="row" class="l">0.05</th>' in page
    # of 28 that calibrate
    assert '<th scope="row" class="l">0.01</th>' not in page


def test_other_sizes_and_colours_are_warned_of(detector, tmp_path, capsys):
    images = np.repeat(np.repeat(normal_images(2, 6), 2, 1), 2, 2)
    folder = write(tmp_path / "images", [np.stack([image] * 3, -1) for image in images])
    assert run(["score", str(detector), str(folder)]) == 0
    said = capsys.readouterr().err
    assert "images of 24 x 24 pixels, where those fitted to are 12 x 12" in said
    assert "2 of 2 images are in colour" in said


def test_no_image_that_can_be_read_is_an_error(detector, tmp_path, capsys):
    (tmp_path / "a.png").write_bytes(b"none")
    assert run(["score", str(detector), str(tmp_path)]) == 2
    assert "none of the 1 images can be read" in capsys.readouterr().err


def test_a_damaged_detector_is_said(detector, mixed, tmp_path, capsys):
    broken = tmp_path / "broken"
    shutil.copytree(detector, broken)
    (file,) = broken.glob("detector-*")
    file.write_bytes(file.read_bytes()[:-1])
    assert run(["score", str(broken), str(mixed)]) == 2
    assert "is damaged" in capsys.readouterr().err
    assert run(["info", str(tmp_path)]) == 2
    assert "is no detector" in capsys.readouterr().err
