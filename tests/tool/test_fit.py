"""`fit`: from a folder of images to a detector."""

import json
import shutil
import signal

import numpy as np
import pytest
from PIL import Image

from flowjax_ood.novelty import storage
from flowjax_ood.novelty.features import has_encoder
from flowjax_ood.tool import extraction
from flowjax_ood.tool.cli import run
from flowjax_ood.tool.subject import Subject
from tests.tool.conftest import fit, new_images, normal_images, write


@pytest.mark.thorough
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


@pytest.mark.thorough
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


@pytest.mark.thorough
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


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_fit_goes_on(tmp_path, monkeypatch, capsys, stop):
    folder = write(tmp_path / "images", normal_images(60, 4))
    monkeypatch.setattr(extraction, "CHUNK", 20)
    extract_rows, seen = extraction.extract_rows, []

    def until(limit):
        def rows_of(examples, features, rows):
            if len(seen) >= limit:
                signal.raise_signal(stop)
            seen.append(rows[0])
            return extract_rows(examples, features, rows)

        return rows_of

    monkeypatch.setattr(extraction, "extract_rows", until(2))
    assert fit(folder, tmp_path / "out") == 128 + stop
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


@pytest.mark.thorough
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
