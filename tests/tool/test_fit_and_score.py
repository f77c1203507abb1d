"""From a folder of images to decisions and a page, by two commands."""

import csv
import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from flowjax_ood.novelty import storage
from flowjax_ood.novelty.features import has_encoder
from flowjax_ood.tool import extraction
from flowjax_ood.tool.cli import run
from flowjax_ood.tool.subject import Subject
from tests.tool.conftest import new_images, normal_images, write


def fit(images, out, *more) -> int:
    return run(["fit", str(images), "--out", str(out), "--method", "pixels", *more])


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
    assert "at most 0.3 are normal on average" in capsys.readouterr().out


def test_images_that_are_known_are_said(detector, normal, capsys):
    run(["score", str(detector), str(normal)])
    said = capsys.readouterr().err
    assert "70 of 70 images are among those that the detector was" in said


def test_unreadable_images_and_copies_are_told_of(tmp_path, capsys):
    folder = write(tmp_path / "images", normal_images(60, 4))
    (folder / "broken.png").write_bytes(b"none")
    for i in range(20):
        shutil.copy(folder / f"{i:03d}.png", folder / f"copy{i}.png")
    assert fit(folder, tmp_path / "out") == 0
    said = capsys.readouterr()
    assert "left out broken.png: " in said.err
    assert "images that calibrate are copies of others" in said.err
    run(["info", str(tmp_path / "out"), "--json"])
    facts = json.loads(capsys.readouterr().out)["facts"]
    counts = facts["counts"]
    assert list(facts["left_out"]) == ["broken.png"]
    assert (counts["images"], counts["unreadable"]) == (81, 1)
    assert counts["fitted"] + counts["calibrated"] == 80
    assert 5 < counts["copies"] < 20


def test_images_to_calibrate_may_be_given(tmp_path, capsys):
    folder = write(tmp_path / "images", normal_images(40, 4))
    others = write(tmp_path / "others", normal_images(25, 5))
    shutil.copy(folder / "003.png", others / "copy.png")
    options = ["--calibrate", str(others)]
    assert fit(folder, tmp_path / "out", *options) == 0
    said = capsys.readouterr()
    assert "1 of 26 images that calibrate are copies" in said.err
    assert "fitted to 40 images and calibrated by 26 others" in said.out
    assert fit(folder, tmp_path / "none", "--calibrate", str(folder)) == 2
    assert "all 40 images that calibrate are among those" in capsys.readouterr().err
    large = np.repeat(np.repeat(normal_images(25, 6), 2, 1), 2, 2)
    larger = write(tmp_path / "larger", large)
    assert fit(folder, tmp_path / "l", "--calibrate", str(larger)) == 0
    assert "images that calibrate of 24 x 24 pixels" in capsys.readouterr().err


def test_what_calibrates_does_not_choose_what_is_compared(tmp_path):
    folder = write(tmp_path / "images", normal_images(60, 4))
    assert fit(folder, tmp_path / "before") == 0
    subject = Subject.read(tmp_path / "before")
    held_back = sorted({f"{i:03d}.png" for i in range(60)} - set(subject.names))
    assert len(held_back) == 24
    # of another size, where it calibrates
    Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(folder / held_back[0])
    assert fit(folder, tmp_path / "after") == 0
    assert Subject.read(tmp_path / "after").features == subject.features


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


def test_a_folder_for_every_image_is_no_class(tmp_path, capsys):
    for i, image in enumerate(normal_images(60, 4)):
        write(tmp_path / "in" / f"patient{i}", [image])
    assert fit(tmp_path / "in", tmp_path / "out") == 0
    assert "classes are left aside: one has 1 images" in capsys.readouterr().err


def test_images_outside_of_class_folders_are_told_of(tmp_path, capsys):
    for name in ("a", "b"):
        write(tmp_path / "in" / name, normal_images(30, ord(name)))
    write(tmp_path / "in", normal_images(1, 4), "loose")
    assert fit(tmp_path / "in", tmp_path / "out") == 0
    said = capsys.readouterr().err
    assert "not taken for classes: 1 of 61 images" in said
    assert "(loose000.png)" in said


def test_classes_of_folders_are_used(tmp_path, capsys):
    write(tmp_path / "in" / "discs", normal_images(40, 4))
    write(tmp_path / "in" / "stripes", new_images(40, 4))
    assert fit(tmp_path / "in", tmp_path / "out") == 0
    found = Subject.read(tmp_path / "out")
    assert "pixels: clusters" in found.detector.names
    assert found.facts["classes"] == ["discs", "stripes"]


def test_an_interrupted_fit_goes_on(tmp_path, monkeypatch, capsys):
    folder = write(tmp_path / "images", normal_images(60, 4))
    monkeypatch.setattr(extraction, "CHUNK", 20)
    extract_rows, seen = extraction.extract_rows, []

    def until(limit):
        def rows_of(examples, features, rows):
            if len(seen) >= limit:
                raise KeyboardInterrupt
            seen.append(rows[0])
            return extract_rows(examples, features, rows)

        return rows_of

    monkeypatch.setattr(extraction, "extract_rows", until(2))
    assert fit(folder, tmp_path / "out") == 130
    assert "run the same command again to go on" in capsys.readouterr().err
    monkeypatch.setattr(extraction, "extract_rows", until(99))
    assert fit(folder, tmp_path / "out") == 0
    # 36 to fit to, 24 to calibrate by
    assert seen == [0, 20, 0, 20]
    assert not (tmp_path / "out" / "unfinished").exists()
    whole = tmp_path / "whole"
    assert fit(folder, whole) == 0
    one, other = (Subject.read(p).detector for p in (tmp_path / "out", whole))
    np.testing.assert_array_equal(one.calibration.scores, other.calibration.scores)


def test_a_changed_image_is_read_again(tmp_path, monkeypatch):
    folder = write(tmp_path / "images", normal_images(60, 4))
    examples = extraction.Examples("", ("000.png",), paths=(folder / "000.png",))
    from flowjax_ood.novelty.features import Features, PixelFeatures

    features = Features((PixelFeatures(12, 12, 1),))
    kept = tmp_path / "kept"
    before = extraction.extract(examples, features, None, kept)
    Image.fromarray(new_images(1, 0)[0]).save(folder / "000.png")
    after = extraction.extract(examples, features, None, kept)
    assert not np.array_equal(before.vectors, after.vectors)


@pytest.mark.parametrize(
    ("count", "options", "message"),
    [
        (39, [], "39 images are too few"),
        (60, ["--method", "magic"], "invalid choice"),
        (60, ["--seed", "-1"], "is no whole number"),
    ],
)
def test_what_cannot_be_fitted_is_said(tmp_path, capsys, count, options, message):
    folder = write(tmp_path / "images", normal_images(count, 4))
    try:
        status = fit(folder, tmp_path / "out", *options)
    except SystemExit as end:
        status = end.code
    assert status == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_said_and_nothing_is_lost(tmp_path, monkeypatch, capsys):
    folder = write(tmp_path / "images", normal_images(60, 4))

    def full(*args):
        raise OSError(28, "No space left on device", str(tmp_path / "out"))

    write_archive = storage.write_archive

    def at_the_second(path, arrays):
        # of the detector itself, there is room
        return write_archive(path, arrays) if "detector" in path.name else full()

    with monkeypatch.context() as patch:
        patch.setattr(storage, "write_archive", at_the_second)
        assert fit(folder, tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert "cannot write in --out" in said
    assert "No space left on device" in said
    with monkeypatch.context() as patch:
        # what was read is there
        patch.setattr(extraction, "extract_rows", full)
        assert fit(folder, tmp_path / "out") == 0


def test_grey_and_colour_together_are_warned_of(tmp_path, capsys):
    folder = write(tmp_path / "images", normal_images(60, 4))
    write(folder, [np.stack([i] * 3, -1) for i in normal_images(5, 5)], "c")
    assert fit(folder, tmp_path / "out") == 0
    assert "3 of 39 images are in colour, the others grey" in capsys.readouterr().err


def test_too_many_broken_images_are_an_error(tmp_path, capsys):
    folder = write(tmp_path / "images", normal_images(60, 4))
    for i in range(30):
        (folder / f"{i:03d}.png").write_bytes(b"none")
    assert fit(folder, tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert "of 36 images in" in said
    assert "cannot be read (00" in said


def test_nothing_is_overwritten_unasked(detector, normal, tmp_path, capsys):
    assert fit(normal, detector) == 2
    assert "holds a detector already" in capsys.readouterr().err
    (tmp_path / "manifest.json").write_text("precious")
    assert fit(normal, tmp_path, "--overwrite") == 2
    assert "holds manifest.json and no detector" in capsys.readouterr().err
    assert fit(normal, tmp_path / "manifest.json") == 2
    assert "is a file" in capsys.readouterr().err


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


def test_info_tells_what_it_can_promise(detector, capsys):
    assert run(["info", str(detector)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "42 of 70 images" in said
    assert "p-values reach down to 0.034" in said


@pytest.mark.slow
@pytest.mark.skipif(not has_encoder(), reason="takes the extra `embeddings`")
def test_the_encoder_and_pixels_see_together(tmp_path, capsys):
    folder = write(tmp_path / "images", normal_images(100, 4))
    assert run(["fit", str(folder), "--out", str(tmp_path / "out")]) == 0
    names = Subject.read(tmp_path / "out").detector.names
    assert "encoder: neighbours" in names
    assert "pixels: neighbours" in names
    new = write(tmp_path / "new", new_images(3, 4))
    assert run(["score", str(tmp_path / "out"), str(new), "--fail"]) == 3
    assert "comparing encoder and pixels" in capsys.readouterr().err
