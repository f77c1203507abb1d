"""`compare` puts flows side by side, from what `scores` wrote of each."""

import json

import pytest

from experiments.cli import run
from tests.helpers.experiment_runs import only_error

BLOCKS = {"seen": ["digits", "noisy"], "kept back": ["elastic"]}
TEST = {"name": "fashion_mnist", "split": "test", "count": 100}


def row(score, areas, control=False):
    kinds = dict(zip(("digits", "noisy", "elastic"), areas, strict=True))
    blocks = {}
    for block, names in BLOCKS.items():
        own = {name: kinds[name] for name in names}
        worst = min(own, key=own.get)
        mean = sum(own.values()) / len(own)
        blocks[block] = {
            "mean": mean,
            "worst": {"kind": worst, "auroc": own[worst], "ci95": [0, 1]},
        }
    areas = {name: {"auroc": area, "std": 0.02} for name, area in kinds.items()}
    return {"score": score, "control": control, "kinds": areas, "blocks": blocks}


def written(directory, bits, areas, model="glow", **changes):
    """What `scores` writes, as far as it is read."""
    runs = [
        {
            "name": "run",
            "model": model,
            "params": 1000,
            "steps": 10,
            "images_seen": 640,
            "bits_per_dim": value,
            "test": TEST,
        }
        for value in bits
    ]
    rows = [
        row("log p(x)", areas),
        row("typicality", [1 - a for a in areas]),
        row("pixels alone, rank-Gauss", (0.9, 0.8, 0.7), control=True),
        row("KLODS", areas),
    ]
    content = {"runs": runs, "blocks": BLOCKS, "rows": rows, "images": {"fit": 5}}
    directory.mkdir(parents=True)
    (directory / "results.json").write_text(json.dumps(content | changes))
    return directory


def compared(out, *directories) -> dict:
    given = ",".join(map(str, directories))
    assert run(["compare", f"--scores={given}", f"--out={out}"]) == 0
    return json.loads((out / "results.json").read_text())


@pytest.fixture
def four(tmp_path):
    """Flows whose likelihood is the worse a detector, the better their density."""
    given = {
        "one": ([4.0], (0.4, 0.9, 0.6)),
        "two": ([3.0, 3.2], (0.3, 0.8, 0.5)),
        "three": ([2.5], (0.2, 0.7, 0.4)),
        "four": ([2.0], (0.1, 0.6, 0.3)),
    }
    return [written(tmp_path / name, *how) for name, how in given.items()]


@pytest.mark.thorough
def test_flows_are_in_the_order_of_their_densities(four, tmp_path):
    results = compared(tmp_path / "out", *four)
    assert list(results["flows"]) == ["four", "three", "two", "one"]
    two = results["flows"]["two"]
    assert (two["runs"], two["bits_per_dim"]) == (2, pytest.approx(3.1))
    assert two["rows"]["log p(x)"]["blocks"]["seen"]["mean"] == pytest.approx(0.55)
    assert two["rows"]["log p(x)"]["std"]["digits"] == 0.02
    # what is not among the remedies is left out
    assert set(two["rows"]) == {"log p(x)", "typicality", "pixels alone, rank-Gauss"}
    # fewer bits, lower AUROC; the reverse of that; and a control that never differs
    assert results["correlations"]["log p(x)"] == {
        "seen": pytest.approx(1.0),
        "kept back": pytest.approx(1.0),
    }
    assert results["correlations"]["typicality"]["seen"] == pytest.approx(-1.0)
    assert results["correlations"]["pixels alone, rank-Gauss"]["seen"] is None
    table = (tmp_path / "out" / "table.md").read_text()
    for words in (
        "3.100 (3.000 to 3.200)",
        "0.300 ± 0.020",
        "pixels alone, rank-Gauss *",
        "+1.00",
    ):
        assert words in table
    assert (tmp_path / "out" / "compare.png").read_bytes()[:4] == b"\x89PNG"
    assert "data:image/png;base64," in (tmp_path / "out" / "compare.html").read_text()


@pytest.mark.thorough
def test_of_few_flows_there_is_no_correlation(four, tmp_path):
    assert compared(tmp_path / "out", *four[:2])["correlations"] is None


@pytest.mark.thorough
def test_one_flow_alone_is_compared_with_none(four, tmp_path, capsys):
    assert list(compared(tmp_path / "out", four[0])["flows"]) == ["one"]
    assert "warning: --scores names one directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"blocks": {"seen": ["digits"]}}, "one and other are of other outliers"),
        ({"images": {"fit": 6}}, "one and other are of other numbers of images"),
        ({"rows": [row("KLODS", (0.1, 0.2, 0.3))]}, "other has no row 'log p(x)'"),
        ({"rows": []}, "is damaged"),
        ({"runs": [{"name": "old"}]}, "measure it anew by `scores`"),
    ],
)
def test_what_cannot_be_compared(four, tmp_path, capsys, changes, message):
    other = written(tmp_path / "other", [3.0], (0.3, 0.8, 0.5), **changes)
    given = f"--scores={four[0]},{other}"
    assert run(["compare", given, f"--out={tmp_path / 'out'}"]) == 2
    assert message in only_error(capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


def test_directories_that_hold_nothing(four, tmp_path, capsys):
    of_a_run, compared_before = tmp_path / "run", tmp_path / "before"
    for directory, content in (
        (of_a_run, {"step": 4, "auroc": {}}),
        (compared_before, {"test": TEST, "blocks": BLOCKS, "flows": {}}),
    ):
        directory.mkdir()
        (directory / "results.json").write_text(json.dumps(content))
    for given, message in (
        (f"{tmp_path / 'none'}", "is missing; measure it anew"),
        (f"{four[0]},{four[0]}", "names a directory more than once"),
        (f"{four[0]},{of_a_run}", "results.json was not written by `scores`"),
        (f"{four[0]},{compared_before}", "results.json was not written by `scores`"),
    ):
        assert run(["compare", f"--scores={given}", f"--out={tmp_path / 'o'}"]) == 2
        assert message in only_error(capsys.readouterr().err)
