"""`status`: the command, which finds runs and answers without JAX."""

import json
import re
import signal
import subprocess
import sys

import pytest

from experiments.cli import run
from experiments.status.command import look
from experiments.status.files import find_runs
from flowjax_ood.interface.errors import UserError
from tests.helpers import status_runs as runs
from tests.helpers.experiment_runs import ROOT, only_error
from tests.helpers.status_runs import DONE, NOW, records, started, write_run


def tree(tmp_path):
    """Runs as `ablate`, `detect` and a user lay them out, one of them in need."""
    made = [
        write_run(tmp_path / "all" / name, events=DONE, metrics=records(1000))
        for name in (
            "abl/runs/mask_a/seed_0",
            "abl/runs/mask_b/seed_0",
            "det/networks/x",
        )
    ]
    crashed = write_run(tmp_path / "all" / "one", events=[started()], quiet=9000)
    # below a run there is no other one
    write_run(crashed / "checkpoints" / "copy")
    runs.set_times(crashed, NOW - 9000)
    return [*made, crashed]


def test_a_report_beside_the_runs_is_none(tmp_path, capsys):
    tree(tmp_path)
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "report.html").write_text("")
    both = [str(tmp_path / name) for name in ("all", "report")]
    run(["status", "--workdir", *both, "--json"])
    assert len(json.loads(capsys.readouterr().out)["runs"]) == 4
    assert run(["status", "--workdir", both[1]]) == 2
    assert "holds no run" in only_error(capsys.readouterr().err)


def test_runs_are_found_below_a_directory(tmp_path):
    made = tree(tmp_path)
    assert find_runs(tmp_path / "all") == made
    assert find_runs(tmp_path / "all" / "abl") == made[:2]
    assert find_runs(made[-1]) == [made[-1]]
    # each once, however often it is named
    names = [r["name"] for r in look([tmp_path / "all" / "abl", made[0], made[-1]])]
    assert names == ["abl/runs/mask_a/seed_0", "abl/runs/mask_b/seed_0", "one"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no run"):
        find_runs(tmp_path / "empty")
    with pytest.raises(UserError, match="no directory"):
        find_runs(tmp_path / "nowhere")


def test_the_exit_status_says_whether_all_is_well(tmp_path, capsys):
    made = tree(tmp_path)
    assert run(["status", f"--workdir={made[0]}"]) == 0
    assert run(["status", "--workdir", str(made[0]), str(made[-1])]) == 1
    shown = capsys.readouterr().out
    assert "crashed" in shown
    assert run(["status", f"--workdir={tmp_path / 'none'}"]) == 2
    assert "give the --workdir of a run" in only_error(capsys.readouterr().err)
    assert run(["status", f"--workdir={made[0]}", "--config.seed=1"]) == 2
    assert "takes no --config keys" in only_error(capsys.readouterr().err)


def test_json_is_for_scripts(tmp_path, capsys):
    made = tree(tmp_path)
    assert run(["status", "--workdir", str(tmp_path / "all"), "--json"]) == 1
    content = json.loads(capsys.readouterr().out)
    assert content["attention"] == 1
    assert [r["workdir"] for r in content["runs"]] == [str(m) for m in made]
    assert content["time"].endswith("Z")
    # its schema is documented, key by key
    from experiments.status import record

    documented = set(re.findall(r"`(\w+)`", record.__doc__))
    assert set(content["runs"][0]) <= documented
    assert set(content) <= documented | {"time", "attention", "runs"}


def test_watching_goes_on_until_it_is_interrupted(tmp_path, capsys, monkeypatch):
    workdir = write_run(tmp_path / "run", events=DONE, metrics=records(1000))
    naps = []

    def sleep(seconds):
        naps.append(seconds)
        if len(naps) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", sleep)
    arguments = ["status", f"--workdir={workdir}", "--json", "--watch=2.5"]
    assert run(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["attention"] for line in lines] == [0, 0, 0]
    assert naps == [2.5, 2.5, 2.5]


def test_watching_is_terminated_in_words(tmp_path, capsys, monkeypatch):
    workdir = write_run(tmp_path / "run", events=DONE, metrics=records(1000))
    monkeypatch.setattr("time.sleep", lambda _: signal.raise_signal(signal.SIGTERM))
    assert run(["status", f"--workdir={workdir}", "--json", "--watch=2.5"]) == 143
    assert "stopped by SIGTERM" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["0", "-1", "nan", "soon", "inf"])
def test_other_intervals_are_refused(capsys, text):
    with pytest.raises(SystemExit) as left:
        run(["status", "--workdir=w", f"--watch={text}"])
    assert left.value.code == 2
    assert "is no number of at least 0.1" in capsys.readouterr().err


def test_it_answers_without_jax(tmp_path):
    workdir = write_run(tmp_path / "run", events=DONE, metrics=records(1000))
    program = (
        "import sys; from experiments.cli import run; "
        f"assert run(['status', '--workdir', {str(workdir)!r}]) == 0; "
        "heavy = {'jax', 'numpy', 'orbax', 'matplotlib'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
