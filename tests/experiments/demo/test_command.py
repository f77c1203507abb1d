"""`demo`: the flow, the remedies, the report, never a mixture of two runs."""

import json
import re

import numpy as np
import pytest

from experiments.cli import run
from experiments.core.config import load_config
from experiments.core.run_config import keep_config
from experiments.demo import command as demo
from tests.helpers.experiment_runs import only_error, snapshot

FIGURES = {
    "likelihoods",
    "roc",
    "terms",
    "couplings",
    "remedies",
    "latents",
    "samples",
    "training",
}


def check_demo(workdir):
    """What any demo leaves, --fast or not."""
    assert {p.stem for p in workdir.glob("*.png")} == FIGURES
    results = json.loads((workdir / "results.json").read_text())
    assert results["total_seconds"] > 0
    own = json.loads((workdir / demo.FOLDER / "results.json").read_text())
    assert {k: results[k] for k in own} == own
    assert 0 <= own["auroc"]["mnist"] <= 1
    assert np.isfinite(list(own["bits_per_dim"].values())).all()
    assert own["steps"] == own["images_seen"] / 16

    measured = results["remedies"]
    kinds = measured["kinds"]
    assert {"digits", "glyphs", "upside_down", "constant"} < set(kinds)
    rows = {row["score"]: row for row in measured["rows"]}
    assert sum(row["control"] for row in rows.values()) >= 3
    for row in rows.values():
        areas = [row["auroc"][kind] for kind in kinds]
        assert row["mean"] == pytest.approx(np.mean(areas))
        assert row["worst"]["auroc"] == row["auroc"][row["worst"]["kind"]] == min(areas)
    # pixels upside down are the same pixels to a code
    assert (
        abs(rows["code length (webp), two-sided"]["auroc"]["upside_down"] - 0.5) < 0.2
    )

    page = (workdir / "report.html").read_text()
    for name in rows:
        assert name in page
    # one file that can be sent around: pictures inside, nothing fetched
    assert len(re.findall(r'<img[^>]+src="data:image/png;base64,', page)) == len(
        FIGURES
    )
    sources = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert [s for s in sources if not s.startswith(("data:", "#"))] == []
    assert "@import" not in page
    assert "url(" not in page
    assert f"{own['auroc']['mnist']:.3f}" in page
    assert "--fast" in page
    return results


@pytest.fixture
def tiny_flow(monkeypatch):
    """The demo's flow, of a size that compiles in seconds."""

    def load(where, overrides=()):
        config = load_config(where, overrides)
        config.model.update(width=2, scales=1, blocks=2, couplings=2)
        config.data.update(limit_train=64, limit_test=20)
        return config

    monkeypatch.setattr(demo, "load_config", load)


@pytest.mark.slow
def test_a_tiny_demo_leaves_results_figures_and_the_report(tmp_path, tiny_flow, capsys):
    workdir = tmp_path / "demo"
    assert run(["demo", "--fast", f"--workdir={workdir}"]) == 0
    results = check_demo(workdir)
    assert results["command"] == "python -m experiments demo --fast"
    said = capsys.readouterr().out
    assert f"report: {workdir / 'report.html'}" in said
    assert f"The {demo.FLOW} flow" in said
    assert said.index("read by other scores") < said.index("AUROC of the same flow")


@pytest.mark.parametrize("there", ["full", "fast"])
def test_full_and_fast_runs_do_not_mix(tmp_path, capsys, there):
    config = load_config(f"{demo.CONFIG}:{'' if there == 'full' else 'smoke'}")
    keep_config(config, tmp_path / demo.FOLDER)
    (tmp_path / "results.json").write_text("{}")
    before = snapshot(tmp_path)
    argv = ["demo", f"--workdir={tmp_path}"] + ["--fast"] * (there == "full")
    assert run(argv) == 2
    message = only_error(capsys.readouterr().err)
    assert f"{tmp_path / 'baseline'} belongs to another config" in message
    assert "train.num_steps" in message
    assert "Give another --workdir" in message
    assert snapshot(tmp_path) == before


def test_conclusion_of_the_demo_follows_the_interval():
    from experiments.core.evaluation import Evaluated
    from experiments.demo.page import conclusion

    def flow(value, low, high):
        results = {"auroc": {"mnist": value}, "auroc_ci95": {"mnist": (low, high)}}
        return Evaluated(None, {}, results)

    assert "ranks mnist above its own" in conclusion({"a": flow(0.1, 0.05, 0.2)}, 0)
    assert "ranks its own test set above" in conclusion({"a": flow(0.9, 0.8, 1)}, 0)
    text = conclusion({"a": flow(0.5, 0.4, 0.6)}, 1)
    assert "cannot tell mnist" in text
    assert "AUROC 0.500 [0.400, 0.600]" in text
