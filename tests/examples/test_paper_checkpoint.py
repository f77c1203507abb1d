"""The example of checkpoints: the paper's numbers, through a file of torch."""

import numpy as np
import pytest

from tests.examples.running import run_example


@pytest.mark.thorough
def test_the_numbers_agree_and_a_file_of_ones_own_loads(tmp_path, monkeypatch, capsys):
    ran = run_example("paper_checkpoint", tmp_path, monkeypatch, capsys)
    theirs, errors = ran.names["theirs"], ran.names["errors"]
    for name, values in theirs.items():
        assert errors[name] <= 1e-5 * np.abs(values).max()
    assert ran.names["trip"] < 1e-5
    file = ran.out / "last.pth.tar"
    for name, array in ran.names["state"].items():
        assert np.array_equal(ran.names["tensors"][name], array)

    arguments = [f"--checkpoint={file}", "--limit=20", "--shape", "8", "8", "1"]
    ran = run_example("paper_checkpoint", tmp_path, monkeypatch, capsys, *arguments)
    ((bits,),) = ran.numbers(r"^clothing: (\S+) bits/dim of 20 images$")
    assert np.isfinite(bits)
    assert ran.names["case"] is None


def test_torch_reads_the_file_it_writes(tmp_path, monkeypatch, capsys):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: `peers`")
    ran = run_example("paper_checkpoint", tmp_path, monkeypatch, capsys)
    read = torch.load(ran.out / "last.pth.tar")["net"]
    assert list(read) == list(ran.names["state"])
    for name, array in ran.names["state"].items():
        assert np.array_equal(read[name].numpy(), array)
