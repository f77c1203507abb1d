"""Figures come after the numbers, and cannot lose them."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from experiments.core import drawing, run_outputs
from experiments.core.evaluation import Evaluated
from experiments.core.results import likelihood_results
from flowjax_ood import figures
from flowjax_ood.evaluation.likelihood import Likelihoods
from flowjax_ood.interface.errors import UserError
from tests.helpers.drawings import histograms

ID = "fashion_mnist"


class Flow:
    """As much of a trained flow as its outputs look at."""

    config = SimpleNamespace(eval=SimpleNamespace(samples=4, seed=0))
    flow = SimpleNamespace(dims=4)

    def __init__(self, workdir):
        self.workdir = workdir

    def samples(self, count, seed):
        raise MemoryError("cannot draw 4 samples")


def evaluated(workdir, ood: int) -> Evaluated:
    rng, of = np.random.default_rng(0), {}
    for name in (ID, *(f"set{n}" for n in range(ood))):
        log_pz, logdet = rng.normal(size=(2, 9)).astype(np.float32)
        of[name] = Likelihoods(log_pz=log_pz, logdet=logdet, dims=4)
    results = {"in_distribution": ID} | likelihood_results(of, ID)
    return Evaluated(Flow(workdir), of, results)


@pytest.mark.parametrize("ood", [1, 8])
def test_what_cannot_be_drawn_loses_no_number(tmp_path, capsys, ood):
    before = evaluated(tmp_path, ood)
    (tmp_path / "samples.png").write_text("of the evaluation before")
    results = run_outputs.leave(before)
    assert json.loads((tmp_path / "results.json").read_text()) == results
    with np.load(tmp_path / "likelihoods.npz") as arrays:
        assert len(arrays.files) == 2 * (1 + ood)
    # the others are drawn, if of as many sets as there are colours
    drawn = sorted(p.name for p in tmp_path.glob("*.png"))
    assert drawn == ["likelihood_terms.png", "likelihoods.png"]
    *of_sets, of_samples = capsys.readouterr().err.splitlines()
    assert "samples.png cannot be drawn (MemoryError: cannot draw 4" in of_samples
    assert len(of_sets) == (ood > 6)
    assert all("first 6 of 8 OOD sets" in s and "set6, set7" in s for s in of_sets)


def test_a_full_disk_leaves_both_files_of_numbers_as_they_were(tmp_path, monkeypatch):
    run_outputs.leave(evaluated(tmp_path, 1))
    numbers = {n: tmp_path / n for n in ("results.json", "likelihoods.npz")}
    before = {name: file.read_bytes() for name, file in numbers.items()}

    def full(file, **_):
        file.write(b"PK half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(UserError, match=r"cannot write in --workdir .*No space left"):
        run_outputs.leave(evaluated(tmp_path, 2))
    assert {name: file.read_bytes() for name, file in numbers.items()} == before
    assert not list(tmp_path.glob(".*"))


def test_several_pages_are_numbered_and_a_full_disk_is_an_error(tmp_path, monkeypatch):
    assert drawing.draw(tmp_path / "a.png", lambda: [histograms(), histograms()])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a_1.png", "a_2.png"]

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(figures, "save", full)
    with pytest.raises(OSError, match="No space"):
        drawing.draw(tmp_path / "b.png", histograms)


def test_sets_keep_the_order_that_gives_them_colours():
    sets = {name: 0 for name in ("b", ID, "a")}
    assert list(drawing.told_apart(sets, ID, "x.png")) == ["b", ID, "a"]
