"""`report`: which runs are pooled, the command, and errors that name one."""

import copy
import json

import numpy as np
import pytest

from experiments.cli import run
from experiments.core.json_file import IfThere
from experiments.core.kept_results import OF_IMAGES, RESULTS
from experiments.report import command as report
from experiments.report.published import NOT_AVAILABLE
from flowjax_ood.interface.errors import UserError
from tests.helpers.experiment_runs import only_error, snapshot
from tests.helpers.kept_runs import (
    cells,
    described,
    keep,
    keep_ablation,
    keep_seeds,
    result_rows,
    results,
    write_report,
)


@pytest.fixture
def three_seeds(tmp_path):
    return keep_seeds(tmp_path)


def test_runs_that_differ_in_their_seed_are_pooled(tmp_path, three_seeds):
    _, markdown = write_report(tmp_path, *three_seeds)
    (row,) = result_rows(markdown)
    areas = [0.10, 0.12, 0.17]
    spread = f"{np.mean(areas):.3f} ± {np.std(areas, ddof=1):.3f} (n = 3)"
    assert row["AUROC"] == spread
    assert row["bits/dim, own"] == f"3.13 ± {np.std(areas, ddof=1):.2f}"
    assert row["bits/dim, other"].startswith("2.13 ± ")
    assert row["published"] == NOT_AVAILABLE
    (setting,) = cells(markdown, "flow")
    assert setting["seeds"] == "0, 1, 2"
    assert setting["parameters"] == "14,707,336"
    assert setting["size"] == "paper-size"
    assert setting["of recipe"] == "2.5%"
    assert setting["time"] == "1 h 00 min"
    single = cells(markdown, "run")
    assert [r["run"] for r in single] == ["run0", "run1", "run2"]
    assert single[1]["AUROC [95% CI]"] == "0.120 [0.110, 0.140]"
    assert single[1]["median"] == "1.900"


def test_one_run_has_the_interval_of_its_images(tmp_path, three_seeds):
    _, markdown = write_report(tmp_path, three_seeds[0])
    (row,) = result_rows(markdown)
    assert row["AUROC"] == "0.100 [0.090, 0.120]"
    assert row["bits/dim, own"] == "3.10"


@pytest.mark.parametrize(
    ("overrides", "changes"),
    [
        (["seed=9", "model.width=32"], {}),
        (["seed=9"], {"steps": 2000}),
        (["seed=9"], {"eval": {"seed": 2, "draws": 1}}),
        # two runs of one seed are not two seeds
        (["seed=0"], {}),
    ],
)
def test_other_runs_are_not_pooled(tmp_path, three_seeds, overrides, changes):
    other = keep(tmp_path / "other", results(0.9, **changes), overrides=overrides)
    _, markdown = write_report(tmp_path, *three_seeds, other)
    areas = [row["AUROC"] for row in result_rows(markdown)]
    assert [a for a in areas if a.endswith("(n = 3)")] == areas[:1]
    assert areas[1:] == ["0.900 [0.890, 0.920]"]


def test_what_changes_no_result_does_not_part_runs(tmp_path, three_seeds):
    overrides = ["seed=9", "data.path=/else", "train.log_every=7", "eval.samples=0"]
    # read with data.validation alone
    overrides += ["train.validate_every=7", "train.patience=3"]
    changes = {"eval": {"seed": 1, "draws": 1, "batch_size": 8, "samples": 0}}
    keep(tmp_path / "other", results(0.2, **changes), overrides=overrides)
    _, markdown = write_report(tmp_path, *three_seeds, tmp_path / "other")
    assert [r["AUROC"][-7:] for r in result_rows(markdown)] == ["(n = 4)"]


def test_runs_that_a_validation_set_stopped_are_pooled(tmp_path):
    for seed in range(2):
        stopped = results(steps=500 + seed, validation={"step": 400 + seed})
        keep(tmp_path / f"r{seed}", stopped, overrides=(f"seed={seed}",))
    _, markdown = write_report(tmp_path, tmp_path / "r0", tmp_path / "r1")
    assert [r["AUROC"][-7:] for r in result_rows(markdown)] == ["(n = 2)"]


def test_runs_are_pooled_over_the_sets_they_scored_alike(tmp_path):
    one = results(0.1)
    two = results(0.2)
    # as many of another split
    two["data"]["mnist"] = described("mnist", "train")
    keep(tmp_path / "a", one)
    keep(tmp_path / "b", two, overrides=["seed=1"])
    _, markdown = write_report(tmp_path, tmp_path / "a", tmp_path / "b")
    found = {r["trained on → scored"]: r["AUROC"] for r in result_rows(markdown)}
    assert found == {
        "FashionMNIST → MNIST": "0.100 [0.090, 0.120]",
        "FashionMNIST → MNIST (train)": "0.200 [0.190, 0.220]",
    }


def test_alike_flows_are_told_apart_by_what_differs(tmp_path):
    for name, width in (("a", 64), ("b", 32)):
        keep(tmp_path / name, results(), overrides=[f"model.width={width}"])
    _, markdown = write_report(tmp_path, tmp_path / "a", tmp_path / "b")
    flows = [row["flow"] for row in result_rows(markdown)]
    plain = "RealNVP, checkerboard mask, 2 scales"
    assert flows == [f"{plain} (width 64)", f"{plain} (width 32)"]
    sizes = [row["size"] for row in cells(markdown, "flow")]
    assert sizes == ["paper-size", "reduced: width 32 (paper 64)"]


def test_alike_flows_in_directories_of_one_name_are_told_apart(tmp_path):
    for name, area in (("a", 0.1), ("b", 0.4)):
        keep(tmp_path / name / "seed_0", results(area))
    html, markdown = write_report(
        tmp_path, tmp_path / "a" / "seed_0", tmp_path / "b" / "seed_0"
    )
    flows = [row["flow"] for row in result_rows(markdown)]
    plain = "RealNVP, checkerboard mask, 2 scales"
    assert flows == [f"{plain} (a/seed_0)", f"{plain} (b/seed_0)"]
    assert "AUROC and bits/dim of 2 flows" in html


# --- errors ---------------------------------------------------------------------


def error_of(tmp_path, *workdirs) -> str:
    with pytest.raises(UserError) as caught:
        report.main(workdirs, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    return str(caught.value)


def test_a_workdir_without_results_names_the_command(tmp_path, three_seeds):
    sound, broken, _ = three_seeds
    file = broken / "results.json"
    command = f"python -m experiments evaluate --workdir={broken}"
    file.write_text("{ cut short")
    message = error_of(tmp_path, sound, broken)
    assert str(file) in message
    assert message.endswith(command)
    file.write_text("[]")
    assert "is damaged: it is [], not an object" in error_of(tmp_path, broken)
    needed = [key for key, shape in RESULTS.items() if not isinstance(shape, IfThere)]
    for key in (*needed, *OF_IMAGES):
        found = results()
        del found[key]
        file.write_text(json.dumps(found))
        message = error_of(tmp_path, broken)
        assert f"lacks {key}; make it anew: {command}" in message
    file.unlink()
    message = error_of(tmp_path, broken)
    assert f"{broken} holds a run without results.json" in message
    assert message.endswith(command)


def test_a_workdir_that_is_none(tmp_path, three_seeds):
    message = error_of(tmp_path, tmp_path / "absent")
    assert f"{tmp_path / 'absent'} does not exist" in message
    assert f"train --config=... --workdir={tmp_path / 'absent'}" in message
    (tmp_path / "empty").mkdir()
    assert "holds no run (no config.json); train" in error_of(
        tmp_path, tmp_path / "empty"
    )
    message = error_of(tmp_path, tmp_path)
    runs = " ".join(map(str, three_seeds))
    assert message.endswith(f"python -m experiments report --workdir {runs}")
    (tmp_path / "run0" / "metrics.jsonl").write_text("{}\n{}\n")
    assert "metrics.jsonl:1 is not a record" in error_of(tmp_path, three_seeds[0])


def test_a_broken_ablation_names_the_command(tmp_path):
    ablation = keep_ablation(tmp_path / "ablation")
    (ablation / "ablation.json").write_text("{}")
    message = error_of(tmp_path, ablation)
    assert "ablation.json is damaged: it lacks in_distribution, data, rows" in message
    assert f"ablate --config=... --workdir={ablation}" in message


def changed(content: dict, path: str, value) -> dict:
    """The content with another value at `a.b.c`; `...` removes it."""
    *parents, leaf = path.split(".")
    content = node = copy.deepcopy(content)
    for key in parents:
        node = node[int(key) if isinstance(node, list) else key]
    if value is ...:
        del node[leaf]
    else:
        node[leaf] = value
    return content


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("data.test", ..., "it lacks data.test"),
        ("data.mnist", ..., "it lacks data.mnist"),
        ("data.train.shape", [], "data.train.shape is [], not a list of at least 1"),
        ("bits_per_dim.mnist", ..., "it lacks bits_per_dim.mnist"),
        ("bits_per_dim.mnist", "x", 'bits_per_dim.mnist is "x", not a number'),
        ("auroc", None, "auroc is null, not an object"),
        ("auroc.mnist", None, "auroc.mnist is null, not a number"),
        ("auroc_ci95.mnist", ..., "it lacks auroc_ci95.mnist"),
        ("auroc_ci95.mnist", [0.1], "not a list of at least 2"),
        ("params", "many", 'params is "many", not a whole number'),
        ("steps", 0, "steps is 0"),
        ("eval", None, "eval is null, not an object"),
        ("versions.platform", ..., "it lacks versions.platform"),
        ("baselines", {"knn": 3}, "baselines.knn is 3, not an object"),
        ("told", "mnist", 'told is "mnist", not a list'),
    ],
)
def test_garbage_in_results_names_the_value_and_the_command(
    tmp_path, three_seeds, path, value, said
):
    file = three_seeds[1] / "results.json"
    file.write_text(json.dumps(changed(results(), path, value)))
    message = error_of(tmp_path, *three_seeds)
    assert message.startswith(f"{file} is damaged: ")
    assert said in message
    assert message.endswith(f"experiments evaluate --workdir={three_seeds[1]}")


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("rows.0.params", [], "rows[0].params is [], not a list of at least 1"),
        ("rows.1.auroc_std", ..., "it lacks rows[1].auroc_std"),
        ("rows.1.bits_per_dim_mean.mnist", ..., "rows[1].bits_per_dim_mean.mnist"),
        ("rows.1.auroc_mean", {}, "it lacks rows[1].auroc_mean.mnist"),
        ("versions.jax", 5, "versions.jax is 5, not text"),
        ("data.train.count", "x", 'data.train.count is "x", not a whole number'),
    ],
)
def test_garbage_in_an_ablation_names_the_value(tmp_path, path, value, said):
    ablation = keep_ablation(tmp_path / "ablation")
    content = json.loads((ablation / "ablation.json").read_text())
    content = changed(content, path, value)
    (ablation / "ablation.json").write_text(json.dumps(content))
    message = error_of(tmp_path, ablation)
    assert said in message
    assert f"ablate --config=... --workdir={ablation}" in message


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"GIF89a" * 9])
def test_a_picture_that_is_none_names_the_command(tmp_path, three_seeds, content):
    file = three_seeds[2] / "likelihoods.png"
    file.write_bytes(content)
    message = error_of(tmp_path, *three_seeds)
    assert message.startswith(f"{file} is not a PNG; make it anew: ")
    assert message.endswith(f"evaluate --workdir={three_seeds[2]}")


def test_garbage_of_an_inspection_names_the_command(tmp_path, three_seeds):
    folder = three_seeds[0] / "inspect"
    folder.mkdir()
    (folder / "inspect.json").write_text('{"likelihood_terms": 5}')
    message = error_of(tmp_path, three_seeds[0])
    assert "inspect.json is damaged: likelihood_terms is 5, not an object" in message
    assert message.endswith(f"inspect --workdir={three_seeds[0]}")


def test_an_out_that_cannot_be_written(tmp_path, three_seeds):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write in --out"):
        report.main(three_seeds, tmp_path / "file" / "out")


# --- the command ----------------------------------------------------------------


def test_a_real_run_is_reported(tiny_run, tmp_path, capsys):
    before = snapshot(tiny_run)
    out = tmp_path / "out"
    workdirs = [str(tiny_run), str(tiny_run / ".." / tiny_run.name)]
    assert run(["report", "--workdir", *workdirs, f"--out={out}"]) == 0
    assert f"report: {out / 'report.html'}" in capsys.readouterr().out
    assert sorted(p.name for p in out.iterdir()) == ["report.html", "report.md"]
    html = (out / "report.html").read_text()
    # the same workdir by two names is one run: curves and three pictures
    assert "<p>1 run of 1 flow</p>" in html
    assert html.count("data:image/png;base64,") == 4
    assert snapshot(tiny_run) == before


def test_out_is_beside_the_first_workdir(three_seeds, tmp_path):
    assert run(["report", "--workdir", *map(str, three_seeds)]) == 0
    assert (tmp_path / "report" / "report.html").is_file()


def test_report_takes_no_config_keys(three_seeds, capsys):
    command = ["report", "--workdir", str(three_seeds[0]), "--config.seed=1"]
    assert run(command) == 2
    message = only_error(capsys.readouterr().err)
    assert message.startswith("report takes no --config keys")


def test_an_earlier_report_beside_the_runs_is_none(tmp_path, three_seeds, capsys):
    """As `runs/*` names them."""
    for _ in range(2):
        found = sorted(path for path in tmp_path.iterdir() if path.is_dir())
        assert run(["report", "--workdir", *map(str, found)]) == 0
    assert (three_seeds[0].parent / "report" / "report.html") in [
        path / "report.html" for path in found
    ]
    assert run(["report", f"--workdir={found[-1].parent / 'report'}"]) == 2
    assert "holds no run" in only_error(capsys.readouterr().err)
