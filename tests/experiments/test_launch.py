"""The launch recipes: they are shell, their commands parse, and signals reach the run.

What they start is played by small scripts here: `python`, `srun`, `gcloud`.
"""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from experiments.cli import parser, split_overrides
from tests.helpers.experiment_runs import CONFIGS, ROOT

LAUNCH = ROOT / "experiments" / "launch"
RECIPES = sorted(p for p in LAUNCH.iterdir() if p.suffix in (".sh", ".sbatch"))
SECONDS = 20
# recipes for one machine
ALONE = ("single_box.sh", "campaign.sh")

# a run that notes its arguments, and then does as $ACT says
PYTHON = """#!/usr/bin/env bash
trap 'sleep 0.2; exit 143' TERM
echo "$*" >> "$NOTES/python"
[[ $ACT == wait ]] || exit "$ACT"
echo $$ >> "$NOTES/waiting"
while :; do sleep 0.05; done
"""
SRUN = """#!/usr/bin/env bash
echo "$*" >> "$NOTES/srun"
while [[ $1 == --* ]]; do shift; done
exec "$@"
"""
# to the tasks, and not to the script, as SLURM does
SCANCEL = """#!/usr/bin/env bash
echo "$*" >> "$NOTES/scancel"
kill -TERM $(cat "$NOTES/waiting")
"""
NOTE = """#!/usr/bin/env bash
printf '%s\\0' "$@" > "$NOTES/$(basename "$0")"
"""


def commands(path: Path) -> list[list[str]]:
    """The arguments of every `python -m experiments`; a variable is a 1."""
    # lines that are continued put together; of a comment, too
    text = re.sub(r"\\\n\s*", " ", path.read_text())
    found = []
    for rest in re.findall(r"\bpython -m experiments\b([^>|&;\n]*)", text):
        # what a user adds is for the user
        words = re.sub(r'"\$@"|\$\{\*@Q\}', "", rest).replace('"', "").split()
        found.append([re.sub(r"\$\{?\w+\}?", "1", word) for word in words])
    return found


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.name)
def test_recipes_are_shell(path):
    done = subprocess.run(["bash", "-n", path], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert max(map(len, path.read_text().splitlines())) <= 88


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.name)
def test_their_commands_are_ours(path):
    found = commands(path)
    assert found
    for words in found:
        arguments, _ = split_overrides(words)
        args = parser().parse_args(arguments)
        assert args.command in ("train", "status", "benchmark")
        if args.command == "train" and path.name not in ALONE:
            assert args.distributed


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.name)
def test_the_configs_they_name_exist(path):
    for name in re.findall(r"experiments/configs/(\w+\.py)", path.read_text()):
        assert (CONFIGS / name).is_file()


def test_all_recipes_are_tested():
    names = {"campaign.sh", "single_box.sh", "slurm.sbatch", "tpu_pod.sh"}
    assert {p.name for p in RECIPES} == names


@pytest.fixture
def stage(tmp_path):
    """`start(recipe, *arguments, act=...)` runs a recipe among players."""
    bin_, notes = tmp_path / "bin", tmp_path / "notes"
    for directory in (bin_, notes):
        directory.mkdir()
    players = {"python": PYTHON, "srun": SRUN, "scancel": SCANCEL}
    for name, script in (players | {"scontrol": NOTE, "gcloud": NOTE}).items():
        (bin_ / name).write_text(script)
        (bin_ / name).chmod(0o755)
    started = []

    def start(recipe, *arguments, act="0", **environment):
        path = f"{bin_}:{os.environ['PATH']}"
        environment |= {"PATH": path, "NOTES": str(notes), "ACT": act}
        process = subprocess.Popen(
            ["bash", LAUNCH / recipe, *arguments],
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # a group of its own, to leave nothing behind
            start_new_session=True,
        )
        started.append(process)
        return process

    start.notes = notes
    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_for(start, count: int) -> None:
    """Until so many runs wait to be stopped."""
    file, until = start.notes / "waiting", time.monotonic() + SECONDS
    while not file.exists() or len(file.read_text().split()) < count:
        assert time.monotonic() < until, "no run was started"
        time.sleep(0.02)


def ending(process) -> int:
    process.communicate(timeout=SECONDS)
    return process.returncode


def noted(start, name: str) -> list[str]:
    file = start.notes / name
    return file.read_text().splitlines() if file.exists() else []


JOB = {"SLURM_JOB_ID": "42", "SLURM_JOB_NODELIST": "node[1-2]"}


@pytest.mark.parametrize("status", [0, 2])
def test_a_job_ends_as_its_run_does(stage, status):
    process = stage(
        "slurm.sbatch", "c.py", "w", "--config.seed=3", act=f"{status}", **JOB
    )
    assert ending(process) == status
    (line,) = noted(stage, "python")
    assert line.split() == [
        *("-m", "experiments", "train", "--config=c.py", "--workdir=w"),
        *("--distributed", "--config.seed=3"),
    ]
    assert noted(stage, "scontrol") == []


def test_a_job_whose_time_is_up_saves_and_comes_back(stage):
    process = stage("slurm.sbatch", "c.py", "w", act="wait", **JOB)
    wait_for(stage, 1)
    process.send_signal(signal.SIGUSR1)
    assert ending(process) == 143
    assert noted(stage, "scancel") == ["--signal=TERM 42"]
    assert noted(stage, "scontrol")[0].split("\0")[:2] == ["requeue", "42"]


def test_a_job_that_is_cancelled_saves_and_stays_away(stage):
    process = stage("slurm.sbatch", "c.py", "w", act="wait", **JOB)
    wait_for(stage, 1)
    # to this script and to its tasks
    os.killpg(process.pid, signal.SIGTERM)
    assert ending(process) == 143
    assert noted(stage, "scontrol") == []


def test_one_box_is_one_process(stage):
    assert ending(stage("single_box.sh", "run", "c.py", "w", act="2")) == 2
    (line,) = noted(stage, "python")
    assert "--distributed" not in line
    assert "--num-processes" not in line


def test_a_desk_has_two_processes_that_find_each_other(stage):
    assert ending(stage("single_box.sh", "desk", "c.py", "w", "--config.seed=3")) == 0
    lines = noted(stage, "python")
    assert sorted(re.findall(r"--process-id=(\d)", " ".join(lines))) == ["0", "1"]
    for line in lines:
        assert "--coordinator=localhost:8476 --num-processes=2" in line
        assert line.endswith("--config.seed=3")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopping_a_desk_stops_both_and_waits_for_them(stage, number):
    process = stage("single_box.sh", "desk", "c.py", "w", act="wait")
    wait_for(stage, 2)
    process.send_signal(number)
    assert ending(process) == 143


def sent(start) -> tuple[list[str], str]:
    """The arguments of `gcloud`, and the script that it runs on the hosts."""
    arguments = (start.notes / "gcloud").read_text().split("\0")[:-1]
    script = [a for a in arguments if a.startswith("--command=")]
    rest = [a for a in arguments if not a.startswith("--command=")]
    return rest, "".join(script).removeprefix("--command=")


POD = {
    "TPU": "flows",
    "ZONE": "z",
    "SHARE": "10.0.0.2:/runs",
    "REPOSITORY": "https://r",
}


@pytest.mark.parametrize(
    ("arguments", "worker", "inside"),
    [
        (["install"], "all", ["mount -t nfs 10.0.0.2:/runs /mnt/runs", "'jax[tpu]'"]),
        (
            ["run", "c.py", "glow", "--config.seed=3", "--config.a=(1, 2)"],
            "all",
            [
                "train --config='c.py' --workdir='/mnt/runs/glow' --distributed "
                "'--config.seed=3' '--config.a=(1, 2)'\n",
                'echo "exit status $?"',
            ],
        ),
        (["log"], "0", ["train.log"]),
        (["log", "3"], "3", ["train.log"]),
        (["install", "gs://b/runs/"], "all", ["install -y git", "'.[buckets]'"]),
        (
            ["run", "gs://b/runs/", "c.py", "glow"],
            "all",
            ["--workdir='gs://b/runs/glow' --distributed"],
        ),
        (["status", "gs://b/runs", "glow"], "0", ["status --workdir=gs://b/runs/glow"]),
        (["status", "glow"], "0", ["status --workdir=/mnt/runs/glow"]),
        (["stop"], "all", ["pkill -TERM"]),
    ],
)
def test_a_pod_is_told_on_its_hosts(stage, arguments, worker, inside):
    share = [a for a in arguments if a.startswith("gs://")]
    arguments = [a for a in arguments if a not in share]
    pod = POD | ({"SHARE": share[0]} if share else {})
    assert ending(stage("tpu_pod.sh", *arguments, **pod)) == 0
    rest, script = sent(stage)
    assert rest == [
        *("compute", "tpus", "tpu-vm", "ssh", "flows", "--zone=z", f"--worker={worker}")
    ]
    assert [part for part in inside if part not in script] == []
    assert ("mount" in script) == (arguments == ["install"] and not share)
    subprocess.run(["bash", "-n", "-c", script], check=True)


@pytest.mark.parametrize(
    ("spot", "more"), [({}, []), ({"SPOT": "yes", "TYPE": "v6e-16"}, ["--spot"])]
)
def test_a_slice_is_asked_for(stage, spot, more):
    assert ending(stage("tpu_pod.sh", "create", **POD, **spot)) == 0
    rest, _ = sent(stage)
    assert rest == [
        *("compute", "tpus", "queued-resources", "create", "flows", "--node-id=flows"),
        *("--zone=z", f"--accelerator-type={spot.get('TYPE', 'v5litepod-16')}"),
        *("--runtime-version=v2-alpha-tpuv5-lite", *more),
    ]


@pytest.mark.parametrize(
    ("recipe", "arguments", "environment", "said"),
    [
        ("tpu_pod.sh", ["run"], POD, "pod run CONFIG NAME"),
        ("tpu_pod.sh", [], POD, "pod create"),
        ("tpu_pod.sh", ["install"], POD | {"SHARE": ""}, "an NFS export"),
        ("tpu_pod.sh", ["run", "c.py", "a"], POD | {"SHARE": ""}, "an NFS export"),
        ("tpu_pod.sh", ["status", "a"], POD | {"SHARE": "s3://b"}, "give gs://"),
        ("tpu_pod.sh", ["state"], {"TPU": "", "ZONE": ""}, "the name of the slice"),
        ("slurm.sbatch", ["c.py"], JOB, "usage: sbatch"),
        ("single_box.sh", ["c.py", "w"], {}, "usage: bash"),
    ],
)
def test_what_is_missing_is_said(stage, recipe, arguments, environment, said):
    process = stage(recipe, *arguments, **environment)
    text, _ = process.communicate(timeout=SECONDS)
    assert process.returncode != 0
    assert said in text
    assert noted(stage, "python") == noted(stage, "gcloud") == []


@pytest.fixture
def idx_files(tmp_path):
    """Names alone: nothing reads them."""
    data = tmp_path / "data"
    data.mkdir()
    for part in ("train-images-idx3", "train-labels-idx1"):
        (data / f"fashion-mnist-{part}-ubyte.gz").touch()
    for part in ("t10k-images-idx3", "t10k-labels-idx1"):
        (data / f"{part}-ubyte").touch()
    return str(data)


def test_a_campaign_measures_trains_for_the_rest_and_goes_on(
    stage, tmp_path, idx_files
):
    out = tmp_path / "out"
    given = ("campaign.sh", "600", idx_files, str(out), "--config.seed=3")
    assert ending(stage(*given)) == 0
    tests, benchmark, train = [n for n in noted(stage, "python") if n[:2] == "-m"]
    assert tests == "-m pytest -q -n 0 --tb=short -m accelerator"
    assert "benchmark --config=" in benchmark
    assert f"--workdir={out}/run" in train
    assert train.endswith("--config.seed=3")
    (rest,) = re.findall(r"max_seconds=(\d+)", train)
    assert 430 <= int(rest) <= 450
    kept = {p.name for p in (out / "results").iterdir()}
    assert kept == {"versions.txt", "correctness.txt"}
    # what has ended is not repeated, and the training goes on
    assert ending(stage(*given)) == 0
    again = [n for n in noted(stage, "python") if n[:2] == "-m"][3:]
    assert [line.split()[2] for line in again] == ["train"]


def test_a_stage_that_fails_is_said_and_repeated(stage, tmp_path, idx_files):
    given = ("campaign.sh", "600", idx_files, str(tmp_path / "out"))
    for number in (1, 2):
        assert ending(stage(*given, act="2")) == 2
        assert len([n for n in noted(stage, "python") if n[0] == "-"]) == 4 * number
    assert "exit status 2" in (tmp_path / "out" / "benchmark.txt").read_text()
    before = noted(stage, "python")
    for wrong in (("soon", idx_files), ("600", str(tmp_path))):
        assert ending(stage("campaign.sh", *wrong, str(tmp_path / "other"))) == 2
    assert noted(stage, "python") == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("done", [(), ("versions", "correctness", "benchmark")])
def test_stopping_a_campaign_stops_what_runs(stage, tmp_path, idx_files, number, done):
    """A stage or the training, at once, and nothing after it is begun."""
    out = tmp_path / "out"
    out.mkdir()
    for name in done:
        (out / f"{name}.done").touch()
    process = stage("campaign.sh", "600", idx_files, str(out), act="wait")
    wait_for(stage, 1)
    process.send_signal(number)
    assert ending(process) == 128 + number
    assert len((stage.notes / "waiting").read_text().split()) == 1
    assert (out / "results").is_dir()
    assert not (out / "versions.done").exists() or done
