"""The command line: arguments, exit codes, and one clear error."""

import ast
import shutil
import signal

import pytest

from experiments.cli import COMMANDS, parser, run, split_overrides
from experiments.core.config import known_configs
from flowjax_ood.training.checkpoints.checkpoints import CheckpointError
from tests.helpers.experiment_runs import (
    CONFIGS,
    ROOT,
    TINY,
    only_error,
    read_results,
    snapshot,
)

SMOKE = f"--config={CONFIGS / 'fashion_mnist_realnvp.py'}:smoke"


def fails(capsys, *argv) -> str:
    """The one error of a command that ends with status 2."""
    assert run([str(a) for a in argv]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    return only_error(said.err)


@pytest.mark.parametrize(
    ("argv", "rest", "overrides"),
    [
        (
            ["train", "--config.a.b=1", "--workdir=w"],
            ["train", "--workdir=w"],
            ["a.b=1"],
        ),
        (["--config.a", "1", "--config=f"], ["--config=f"], ["a=1"]),
        (["--config.a", "-1"], [], ["a=-1"]),
        (["--config.a=b=c", "--config.d="], [], ["a=b=c", "d="]),
        # an option is not a value
        (["--config.a", "--workdir=w"], ["--workdir=w"], ["a"]),
        (["--config.a"], [], ["a"]),
        (["--config", "f", "--workdir", "w"], ["--config", "f", "--workdir", "w"], []),
    ],
)
def test_overrides_are_told_from_arguments(argv, rest, overrides):
    assert split_overrides(argv) == (rest, overrides)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_can_be_entered(command):
    file = ROOT / COMMANDS[command].replace(".", "/") / "command.py"
    functions = {
        n.name: n for n in ast.parse(file.read_text()).body if hasattr(n, "args")
    }
    assert [a.arg for a in functions["run"].args.args] == ["args", "overrides"]


def test_every_package_of_a_command_is_behind_the_door():
    packages = {p.parent.name for p in ROOT.glob("experiments/*/command.py")}
    assert packages == set(COMMANDS)


def test_help_shows_how_to_go_on(capsys):
    for argv, shown in [
        (["--help"], ["demo", "train", "evaluate", "python -m experiments demo"]),
        (["train", "--help"], ["--config.train.batch_size=64", *known_configs()]),
        (["evaluate", "--help"], ["keys of eval, and data.ood", "results.json"]),
        (["demo", "--help"], ["--fast", "default: demo", "report.html"]),
    ]:
        with pytest.raises(SystemExit) as left:
            run(argv)
        assert left.value.code == 0
        text = capsys.readouterr().out
        assert [s for s in shown if s not in text] == []


def test_no_command_shows_the_help_and_fails(capsys):
    assert run([]) == 2
    err = capsys.readouterr().err
    assert only_error(err) == "no COMMAND given"
    assert "train a flow on clothing" in err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["trian"], "invalid choice: 'trian' (choose from"),
        (["train", "--workdir=w"], "required: --config"),
        (["train", "--config=f"], "required: --workdir"),
        (["evaluate"], "required: --workdir"),
        (["evaluate", "--workdir=w", "--seed=3"], "unrecognized arguments: --seed=3"),
        (["embed", "--out=e.npz", "--image-size=0", "mnist"], "--image-size: '0' is"),
        (["embed", "--out=e.npz", "--batch-size=-1", "mnist"], "--batch-size: '-1' is"),
        (["embed", "--out=e.npz", "--limit=0", "mnist"], "no whole number of at least"),
        (["peers", "--rounds=0"], "--rounds: '0' is no whole number of at least 1"),
        (["peers", "--seconds=nan"], "--seconds: 'nan' is no number above 0"),
        (["benchmark", "--config=f", "--seconds=0"], "'0' is no number above 0"),
        (["benchmark", "--config=f", "--seconds=inf"], "'inf' is no number above 0"),
        (["benchmark", "--config=f", "--repeats=0"], "whole number of at least 1"),
        (["benchmark", "--config=f", "--need=-3"], "--need: '-3' is no number above 0"),
        (["benchmark", "--config=f", "--devices=1,none"], "'none' is no whole number"),
        # no guessing of shortened options
        (["demo", "--work=w"], "unrecognized arguments: --work=w"),
    ],
)
def test_arguments_that_are_not_understood_end_with_status_2(capsys, argv, said):
    with pytest.raises(SystemExit) as left:
        run(argv)
    assert left.value.code == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("error: ") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--config=nope.py",), "no config file 'nope.py'"),
        ((SMOKE + "r",), "unknown variant 'smoker'; known: smoke, cpu"),
        ((SMOKE, "--config.model.widht=3"), "did you mean 'model.width'?"),
        ((SMOKE, "--config.train.num_steps=many"), "takes an int such as 4"),
        ((SMOKE, "--config.train.num_steps"), "needs a value"),
        (
            (SMOKE, "--config.data.path=/no/such"),
            "config.data: source 'embedded' reads",
        ),
        ((SMOKE, "--config.data.ood="), "config.data.ood names no set"),
        ((SMOKE, "--config.model.scales=4"), "cannot squeeze 7x7 pixels"),
        ((SMOKE, "--config.model.name=vae"), "unknown 'vae'"),
        ((SMOKE, "--config.optimizer.warmup_steps=99"), "warmup_steps"),
        ((SMOKE, "--config.train.log_every=0"), "must be at least 1, got 0"),
        (
            (SMOKE, "--config.model.st_net=resnet_ae", "--config.model.blocks=1"),
            "needs at least 2, got blocks=1",
        ),
    ],
)
def test_a_run_that_cannot_be_is_refused_before_anything_is_written(
    capsys, tmp_path, arguments, said
):
    workdir = tmp_path / "run"
    assert said in fails(capsys, "train", *arguments, f"--workdir={workdir}")
    assert not workdir.exists()


def test_a_workdir_of_another_config_is_refused_unchanged(capsys, tmp_path, tiny_run):
    workdir = shutil.copytree(tiny_run, tmp_path / "run")
    before = snapshot(workdir)
    message = fails(capsys, "train", *TINY, f"--workdir={workdir}")
    assert "optimizer.ema_decay (0.5 there, 0.0 now)" in message
    assert snapshot(workdir) == before


def test_a_file_in_place_of_the_workdir_is_an_error(capsys, tmp_path):
    file = tmp_path / "run"
    file.write_text("mine")
    message = fails(capsys, "train", *TINY, f"--workdir={file}")
    assert f"cannot write in --workdir {file}" in message
    assert file.read_text() == "mine"


def test_evaluate_needs_a_run(capsys, tmp_path):
    message = fails(capsys, "evaluate", f"--workdir={tmp_path / 'none'}")
    assert "holds no run (no config.json); train one first" in message
    assert list(tmp_path.iterdir()) == []


def test_evaluate_needs_a_checkpoint(capsys, tmp_path, tiny_run):
    shutil.copy(tiny_run / "config.json", tmp_path)
    message = fails(capsys, "evaluate", f"--workdir={tmp_path}")
    assert f"no checkpoint in {tmp_path / 'checkpoints'}" in message
    assert "train first" in message


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("model.width=3", "'model.width' is part of the trained run; here only data"),
        ("seed=1", "'seed' is part of the trained run"),
        ("eval.sed=1", "did you mean 'eval.seed'?"),
        ("eval.batch_size=0", "config.eval.batch_size must be at least 1"),
        ("data.ood=fashion_mnist:test", "the test set itself"),
    ],
)
def test_evaluate_changes_data_and_eval_alone(capsys, tiny_run, override, said):
    before = snapshot(tiny_run)
    message = fails(capsys, "evaluate", f"--workdir={tiny_run}", f"--config.{override}")
    assert said in message
    assert snapshot(tiny_run) == before


def test_what_a_run_was_trained_on_is_not_told_otherwise(capsys, tiny_run):
    run_there = f"--workdir={tiny_run}"
    other = "--config.data.train=mnist:train"
    message = fails(capsys, "evaluate", run_there, other)
    assert "'data.train' is part of the trained run" in message
    message = fails(capsys, "evaluate", run_there, "--config.data.source=synthetic")
    assert "the training images are not those" in message


@pytest.fixture
def truncated(tiny_run, tmp_path):
    """The run with its newest checkpoint cut short."""
    workdir = shutil.copytree(tiny_run, tmp_path / "run")
    for file in (workdir / "checkpoints" / "4" / "state").rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    return workdir


def test_evaluating_a_truncated_checkpoint_is_an_error(capsys, truncated):
    """An older one would be scored in its name."""
    before = snapshot(truncated)
    message = fails(capsys, "evaluate", f"--workdir={truncated}")
    assert str(truncated / "checkpoints" / "4") in message
    assert "damaged" in message
    assert "`train` goes on from step 2" in message
    assert snapshot(truncated) == before


@pytest.mark.thorough
def test_training_goes_on_from_the_one_before_with_a_warning(
    capsys, truncated, tiny_run
):
    average = "--config.optimizer.ema_decay=0.5"
    assert run(["train", *TINY, average, f"--workdir={truncated}"]) == 0
    err = capsys.readouterr().err
    assert "warning: the checkpoint of step 4 is damaged" in err
    assert "goes on from step 2" in err
    assert (truncated / "damaged_checkpoints" / "4" / "state").is_dir()
    found, expected = read_results(truncated), read_results(tiny_run)
    for key in ("bits_per_dim", "auroc", "steps"):
        assert found[key] == expected[key]


@pytest.mark.thorough
def test_divergence_is_an_error_and_leaves_no_results(capsys, tmp_path):
    wild = ("--config.optimizer.learning_rate=1e30", "--config.optimizer.ema_decay=0.5")
    assert run(["train", *TINY, *wild, f"--workdir={tmp_path}"]) == 2
    message = only_error(capsys.readouterr().err)
    assert "training diverged at step" in message
    assert "lower the learning rate" in message
    assert {p.name for p in tmp_path.iterdir()} <= {
        ".lock",
        "config.json",
        "data.json",
        "events.jsonl",
        "metrics.jsonl",
        "checkpoints",
    }


def test_demo_takes_no_config_keys(capsys, tmp_path):
    workdir = tmp_path / "demo"
    message = fails(capsys, "demo", f"--workdir={workdir}", "--config.seed=3")
    assert "demo takes no --config keys; use train" in message
    assert not workdir.exists()


@pytest.mark.parametrize(
    ("raised", "status", "said"),
    [
        (CheckpointError("the checkpoint 4"), 2, "error: the checkpoint 4\n"),
        (KeyboardInterrupt(), 130, "stopped by SIGINT"),
    ],
)
def test_what_ends_a_command_early_is_said(capsys, monkeypatch, raised, status, said):
    from experiments.demo import command as demo

    def end(*args, **kwargs):
        raise raised

    monkeypatch.setattr(demo, "run", end)
    assert run(["demo"]) == status
    assert said in capsys.readouterr().err


def test_sigterm_ends_every_command_in_words(capsys, monkeypatch):
    from experiments.demo import command as demo

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(demo, "run", lambda *_: signal.raise_signal(signal.SIGTERM))
    assert run(["demo"]) == 128 + signal.SIGTERM
    assert "stopped by SIGTERM; what was saved is kept" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_defect_keeps_its_traceback(monkeypatch):
    from experiments.demo import command as demo

    def end(*args, **kwargs):
        raise KeyError("a defect")

    monkeypatch.setattr(demo, "run", end)
    with pytest.raises(KeyError, match="a defect"):
        run(["demo"])


def test_demo_writes_to_demo_by_default():
    args = parser().parse_args(["demo"])
    assert (str(args.workdir), args.fast) == ("demo", False)
