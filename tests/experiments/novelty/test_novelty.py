"""`novelty`: real images, random parts, and false alarms as promised."""

import json

import numpy as np
import pytest

from experiments.cli import run
from experiments.novelty import collections
from experiments.novelty.collections import clothing, emoji, tiles


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    options = ["--collections", "clothing", "--methods", "pixels", "--splits", "2"]
    options += ["--images", "60", "--test", "40", "--out", str(out)]
    assert run(["novelty", *options]) == 0
    return json.loads((out / "results.json").read_text()), out


@pytest.mark.thorough
def test_a_row_counts_what_it_drew(results):
    (row,) = results[0]["rows"]
    assert (row["fitted"], row["calibrated"], row["tested"]) == (36, 24, 40)
    # 24 calibrate: no p-value is as small as 0.01
    assert row["false_alarms"]["0.01"]["mean"] == 0
    assert row["promise"]["0.05"][0] == pytest.approx(0.04)
    assert set(row["kinds"]) >= {"digits", "glyphs", "emoji", "upside_down"}
    assert len(row["false_alarms"]["0.05"]["values"]) == 2


def test_what_is_found_is_more_than_false_alarms(results):
    (row,) = results[0]["rows"]
    found = row["kinds"]["tiles"]
    assert found["auroc"]["mean"] > 0.7
    assert found["found"]["0.05"]["mean"] > row["false_alarms"]["0.05"]["mean"]


def test_the_table_has_a_line_for_each_kind(results):
    record, out = results
    lines = (out / "table.md").read_text().splitlines()
    assert len(lines) == 2 + len(record["rows"][0]["kinds"])


@pytest.mark.thorough
def test_collections_are_of_one_shape_and_have_no_image_twice():
    for collection in (clothing(None, 30), emoji(30)):
        shape = collection.normal.shape[1:]
        for images in collection.kinds.values():
            assert images.shape[1:] == shape
            assert len(images) <= 30
    unseen = {image.tobytes() for image in clothing(None, 30).unseen}
    changed = clothing(None, 30).kinds["upside_down"][:, ::-1]
    assert not unseen & {image.tobytes() for image in changed}


def test_tiles_cover_a_picture_without_overlap(tmp_path, monkeypatch):
    from types import SimpleNamespace

    from PIL import Image

    picture = np.arange(70 * 100, dtype=np.uint32).reshape(70, 100) % 251
    (tmp_path / "data").mkdir()
    Image.fromarray(picture.astype(np.uint8)).save(tmp_path / "data" / "a.png")
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(collections, "find_spec", lambda name: spec)
    found = tiles(("a",))
    assert found.shape == (6, 32, 32, 1)
    np.testing.assert_array_equal(found[4, ..., 0], picture[32:64, 32:64])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--collections", "cats"], "unknown --collections 'cats'"),
        (["--methods", "magic"], "unknown --methods 'magic'"),
    ],
)
def test_unknown_names_are_refused(tmp_path, options, message, capsys):
    assert run(["novelty", "--out", str(tmp_path), *options]) == 2
    assert message in capsys.readouterr().err


def test_without_pictures_textures_are_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(collections, "find_spec", lambda name: None)
    options = ["--collections", "textures", "--methods", "pixels"]
    assert run(["novelty", "--out", str(tmp_path), *options]) == 2
    assert "flowjax_ood[pictures]" in capsys.readouterr().err
