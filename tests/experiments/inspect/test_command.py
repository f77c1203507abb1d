"""`inspect` looks into a trained run: its numbers are those of the flow itself."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from ml_collections import ConfigDict

from experiments.cli import run
from experiments.inspect import InspectOptions
from experiments.inspect.command import check_couplings
from flowjax_ood.analysis.coadaptation import INTERVENTIONS
from flowjax_ood.interface.errors import UserError
from flowjax_ood.models import Glow, TarFlow
from tests.helpers.experiment_runs import TINY, only_error, read_results, snapshot

FAST = ("--draws=2", "--averaged=4", "--images=1,0")


def inspected(workdir, *arguments) -> dict:
    before = snapshot(workdir)
    assert run(["inspect", f"--workdir={workdir}", *FAST, *arguments]) == 0
    after = snapshot(workdir)
    changed = {f for f in after if after[f] != before.get(f)}
    # the run itself is as it was
    assert all(f.startswith("inspect/") for f in changed)
    return json.loads(after["inspect/inspect.json"])


def same(found: dict, results: dict, name: str) -> None:
    """Terms of a set that was inspected as a whole are those of `evaluate`."""
    terms = found["sets"][name]
    for ours, theirs in (
        ("log_pz_bits", "log_pz_bits"),
        ("logdet_bits", "logdet_bits"),
    ):
        assert terms[ours] == pytest.approx(results[theirs][name], rel=1e-5)
    if name in found["auroc"]:
        area = found["auroc"][name]["log_prob"]["value"]
        assert area == pytest.approx(results["auroc"][name], abs=0.01)


@pytest.mark.thorough
def test_a_single_scale_flow(tiny_run, tmp_path, capsys):
    # a copy: others count the pictures of the run itself
    workdir = shutil.copytree(tiny_run, tmp_path / "tiny")
    content = inspected(workdir)
    results = read_results(workdir)
    assert [*content["likelihood_terms"]] == ["evaluation"], "it has no batch norm"
    for name in ("fashion_mnist", "mnist"):
        same(content["likelihood_terms"]["evaluation"], results, name)
        assert content["data"][name]["count"] == 20
        layers = content["couplings"]["sets"][name]
        assert len(layers) == len(content["couplings"]["layers"]) == 2
        # the rest of the log-determinant is the logit's
        logdets = sum(layer["logdet"] for layer in layers)
        means = [layer["mean_s"] * 392 for layer in layers]
        assert logdets == pytest.approx(sum(means), rel=1e-6)
        seen = content["latents"]["mean"]["evaluation"][name]
        assert seen["images"] == 4
        assert seen["correlation"] > 0.3
        adapted = content["coadaptation"]["sets"][name]
        assert [*adapted] == [*INTERVENTIONS]
        for act in ("untouched", "half_noise"):
            own = adapted[act][0]["own"]
            assert own["r2"] == pytest.approx(layers[0]["r2"], abs=1e-5)
    assert content["coadaptation"]["why_not"] is None
    assert content["options"]["images"] == [1, 0]
    figures = {p.name for p in (workdir / "inspect").glob("*.png")}
    expected = {"latents", "terms", "couplings_1", "depth", "coadaptation"}
    assert figures == {f"{name}.png" for name in expected}
    shown = capsys.readouterr().out
    assert "half_swapped" in shown
    assert "inspect.json and figures are in" in shown


@pytest.mark.slow
@pytest.mark.parametrize("group", [0, 8])
def test_a_multi_scale_flow_with_batch_norm(tmp_path, capsys, group):
    changed = ("scales=2", "couplings=1", "blocks=0", "norm=batch", "zero_init=False")
    changed += (f"norm_group={group}",)
    args = [f"--config.model.{change}" for change in changed]
    args += ["--config.eval.samples=0", f"--workdir={tmp_path}"]
    assert run(["train", *TINY, *args]) == 0
    content = inspected(tmp_path)
    results = read_results(tmp_path)
    terms = content["likelihood_terms"]
    assert [*terms] == ["recomputed", "running", "batch", "batch, mixed"]
    for name in ("fashion_mnist", "mnist"):
        same(terms["recomputed"], results, name)
        same(terms["running"], results["running_statistics"], name)
        # full groups of 20 images, and of both kinds: of a training batch, 16, or of 8
        assert terms["batch"]["images"][name] == 16
        assert terms["batch, mixed"]["images"][name] == (20 if group else 16)
        pz = {mode: found["sets"][name]["log_pz_bits"] for mode, found in terms.items()}
        assert len(set(pz.values())) == 4, "all four are different scores"
        assert len(content["couplings"]["sets"][name]) == 5
        assert [*content["latents"]["mean"]] == ["recomputed", "running", "batch"]
    shapes = [tuple(layer["shape"]) for layer in content["couplings"]["layers"]]
    assert shapes == [(28, 28, 1)] + [(14, 14, 4)] * 3 + [(14, 14, 2)]
    assert content["coadaptation"]["sets"] is None
    assert "Squeeze" in content["coadaptation"]["why_not"]
    figures = {p.name for p in (tmp_path / "inspect").glob("*.png")}
    expected = {"latents", "terms", "couplings_1", "depth"}
    assert figures == {f"{name}.png" for name in expected}
    assert "co-adaptation: not measured" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--images=0,20"], "--images 20: fashion_mnist has images 0 to 19"),
        (["--channel=1"], "--channel 1: the images have channels 0 to 0"),
    ],
)
def test_what_the_sets_do_not_have_is_refused(tiny_run, capsys, arguments, message):
    before = snapshot(tiny_run)
    assert run(["inspect", f"--workdir={tiny_run}", *arguments]) == 2
    assert only_error(capsys.readouterr().err) == message
    assert snapshot(tiny_run) == before


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--images=1,x", "'x' is no whole number"),
        ("--images=1,1", "names a value twice"),
        ("--images=-1", "'-1' is no whole number"),
        ("--count=1", "at least 2"),
        ("--draws=0", "at least 1"),
        ("--averaged=two", "at least 2"),
    ],
)
def test_arguments_are_checked_before_anything_is_read(capsys, argument, message):
    with pytest.raises(SystemExit):
        run(["inspect", "--workdir=nowhere", argument])
    assert message in capsys.readouterr().err


def test_the_defaults_are_the_papers():
    assert InspectOptions().draws == 40
    assert InspectOptions().count == 1000
    np.testing.assert_array_equal(InspectOptions().images, [0, 1, 2])


def test_a_flow_without_scale_and_shift_is_refused():
    config = ConfigDict({"model": {"name": "glow", "coupling": "spline"}})
    flow = Glow((4, 4, 1), scales=1, steps=1, width=2, coupling="spline")
    with pytest.raises(UserError, match="flow is glow of spline couplings; inspect"):
        check_couplings(SimpleNamespace(config=config, flow=flow))
    config = ConfigDict({"model": {"name": "tarflow"}})
    flow = TarFlow((4, 4, 1), patch=2)
    with pytest.raises(UserError, match="flow is tarflow; inspect shows scale and"):
        check_couplings(SimpleNamespace(config=config, flow=flow))


def test_the_couplings_of_a_repeat_are_seen():
    config = ConfigDict({"model": {"name": "glow"}})
    flow = Glow((4, 4, 1), scales=1, steps=2, width=2, stack="scan")
    check_couplings(SimpleNamespace(config=config, flow=flow))
