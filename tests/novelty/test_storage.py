"""A detector's directory: read back bit for bit, damage said, nothing executed."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from flowjax_ood.novelty import storage
from flowjax_ood.novelty.density import FlowSettings
from flowjax_ood.novelty.detector import NoveltyDetector, NoveltySettings
from flowjax_ood.novelty.export import exported
from flowjax_ood.novelty.features import Features, PixelFeatures

QUICK = FlowSettings(components=4, couplings=2, width=8, steps=5)
SETTINGS = NoveltySettings(components=6, near=3, clusters=4, flow=QUICK)


def images(count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    smooth = rng.normal(size=(count, 3)) @ np.random.default_rng(1).normal(size=(3, 32))
    noisy = 128 + 20 * smooth + 5 * rng.normal(size=(count, 32))
    return np.clip(noisy, 0, 255).astype(np.uint8).reshape(count, 4, 8, 1)


FEATURES = Features((PixelFeatures(4, 8, 1),))


@pytest.fixture(scope="module")
def detector() -> NoveltyDetector:
    x, c = (FEATURES.vectors([images(n, s)]) for n, s in ((1000, 1), (50, 2)))
    settings = [
        replace(SETTINGS, name="left", columns=(0, 16)),
        replace(SETTINGS, name="all", columns=(0, 32), flow=None, whiten=False),
    ]
    return NoveltyDetector.fit(x, settings, calibrate=c)


@pytest.fixture
def saved(detector, tmp_path):
    path = tmp_path / "detector"
    more = {"more": {"a": np.arange(3)}}
    storage.save(path, detector, {"made": "now", "counts": {"n": 1}}, more)
    return path


@pytest.mark.thorough
def test_it_is_read_back_bit_for_bit(detector, saved):
    found, facts = storage.load(saved)
    assert facts == {"made": "now", "counts": {"n": 1}}
    assert found.settings == detector.settings
    assert found.names == detector.names
    assert any("flow" in name for name in found.names)
    x = FEATURES.vectors([images(9, 5)])
    for ours, theirs in zip(found.scores(x), detector.scores(x), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(found.p_values(x), detector.p_values(x))
    np.testing.assert_array_equal(found.nearest(x), detector.nearest(x))
    assert found.explain(found.scores(x)[1]).keys() == dict.fromkeys(found.names).keys()
    np.testing.assert_array_equal(storage.read_arrays(saved, "more")["a"], [0, 1, 2])


def test_a_detector_may_replace_another(detector, saved):
    changed = NoveltyDetector(**vars(detector) | {"fitted": 7})
    changed.ranked[0] += 1
    storage.save(saved, changed, {"made": "later"})
    changed.ranked[0] -= 1
    found, facts = storage.load(saved)
    assert (facts, found.fitted) == ({"made": "later"}, 7)
    assert len(list(saved.glob("detector-*"))) == 1


def file_of(path, name: str):
    if name == storage.MANIFEST:
        return path / name
    (file,) = path.glob(f"{name}-*.npz")
    return file


def damaged(path, name: str, change) -> None:
    file = file_of(path, name)
    file.write_bytes(change(file.read_bytes()))


def rewrite(path, change) -> None:
    """Change a manifest, and make it say that this is what was written."""
    manifest = json.loads((path / storage.MANIFEST).read_text())
    change(manifest)
    del manifest["sha256"]
    manifest["sha256"] = storage._of_content(manifest)
    (path / storage.MANIFEST).write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: shutil.rmtree(p), "is no detector: there is no manifest.json"),
        (lambda p: damaged(p, "manifest.json", lambda b: b[:50]), "is damaged"),
        (lambda p: damaged(p, "manifest.json", lambda b: b"[]"), "something else"),
        (lambda p: damaged(p, "detector", lambda b: b[:-9]), "SHA-256 is not"),
        (
            lambda p: damaged(p, "more", lambda b: b[:9] + b"x" + b[10:]),
            "more-.*npz is damaged",
        ),
        (lambda p: file_of(p, "detector").unlink(), "detector-.*npz is missing"),
    ],
)
def test_damage_is_said(saved, damage, message):
    damage(saved)
    with pytest.raises(storage.DetectorError, match=message):
        storage.load(saved)


def _set(*keys, value):
    def change(manifest):
        for key in keys[:-1]:
            manifest = manifest[key]
        manifest[keys[-1]] = value

    return change


FIRST = ("detector", "views", 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("version", value=2), "version 2 of the format.*reads version 1"),
        (_set("format", value="else"), "something else"),
        (_set("files", "detector", "file", value="../x"), "x is missing"),
        (_set("files", value={}), "is damaged: KeyError 'detector'"),
        (_set("files", value=[]), "is damaged"),
        (_set("detector", "views", value=[]), "is damaged"),
        (_set("detector", "kept", value=[99]), "is damaged: IndexError"),
        (_set(*FIRST, "near", value="all"), "is damaged"),
        (_set(*FIRST, "parts", 0, "kind", value="os.system"), "is damaged: KeyError"),
        (_set(*FIRST, "parts", 0, "high", value=10**9), "not in 0 ... 10000"),
    ],
)
def test_other_manifests_are_refused(saved, change, message):
    rewrite(saved, change)
    with pytest.raises(storage.DetectorError, match=message):
        storage.load(saved)


def test_a_manifest_that_was_changed_is_refused(saved):
    file = saved / storage.MANIFEST
    file.write_text(file.read_text().replace('"fitted": 1000', '"fitted": 1001'))
    with pytest.raises(storage.DetectorError, match="was changed"):
        storage.load(saved)


def test_pickles_are_not_read(saved):
    class Evil:
        def __reduce__(self):
            return (pytest.fail, ("executed",))

    file = file_of(saved, "detector")
    np.savez(file, ranked=np.array([Evil()], object))
    digest = storage._sha256(file)
    rewrite(saved, _set("files", "detector", "sha256", value=digest))
    with pytest.raises(storage.DetectorError, match="is damaged"):
        storage.load(saved)


def test_a_full_disk_leaves_the_detector_that_was_there(detector, saved, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    for name in ("write_archive", "write_bytes"):
        with monkeypatch.context() as patch:
            patch.setattr(storage, name, full)
            with pytest.raises(OSError, match="No space left"):
                storage.save(saved, detector, {"made": "later"})
        assert storage.load(saved)[1]["made"] == "now"


READ = """
import sys
import jax, numpy as np
program = jax.export.deserialize(open(sys.argv[1], "rb").read())
arrays = np.load(sys.argv[2])
for count in (1, 7):
    p, score, statistics = program.call(arrays["images"][:count])
    np.testing.assert_allclose(score, arrays["score"][:count], rtol=1e-3)
    np.testing.assert_allclose(p, arrays["p"][:count], atol=0.03)
    assert statistics.shape == (count, arrays["statistics"].shape[1])
assert program.platforms == ("cpu", "cuda", "tpu")
for name in ("flax", "flowjax_ood"):
    assert name not in sys.modules, name
"""


@pytest.mark.thorough
def test_the_exported_program_scores_without_this_library(detector, tmp_path):
    new = images(7, 6)
    x = FEATURES.vectors([new])
    (tmp_path / "program").write_bytes(exported(detector, FEATURES))
    score, statistics = detector.scores(x)
    np.savez(
        tmp_path / "arrays.npz",
        images=new,
        score=score,
        statistics=statistics,
        p=detector.p_values(x),
    )
    subprocess.run(
        [sys.executable, "-c", READ, tmp_path / "program", tmp_path / "arrays.npz"],
        check=True,
        cwd=tmp_path,
    )


def test_a_detector_of_vectors_is_exported_too(detector):
    import jax

    x = FEATURES.vectors([images(3, 6)])
    program = jax.export.deserialize(exported(detector, None, ["cpu"]))
    np.testing.assert_allclose(program.call(x)[1], detector.score(x), rtol=1e-3)
