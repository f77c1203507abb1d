"""`status`: what people see of a run, or of several."""

import pytest

from experiments.status.display import page, table
from tests.helpers.status_runs import (
    DONE,
    SAVES,
    event,
    holding,
    printed,
    records,
    seen,
    started,
    write_run,
)


def shown_run(tmp_path, **changes):
    events = [
        started(),
        *SAVES,
        event(120, "warning", message="[brackets] are no markup"),
    ]
    written = {"metrics": records(450), "checkpoints": [200, 400]} | changes
    workdir = write_run(tmp_path / "run", events=events, **written)
    with holding(workdir):
        return seen(workdir)


@pytest.mark.parametrize("width", [80, 120])
def test_the_page_of_one_run(tmp_path, width):
    text = printed(page(shown_run(tmp_path)), width)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    for words_there in (
        "● running",
        "450 of 1,000 steps  45 %",
        "4 steps/s · 640 images/s · 0.3 % waiting for input",
        "bits/dim",
        "↓",
        "step 400, 0 s ago, 1.1 kB, whole; also 200",
        "8 × TPU v5e, 2 processes; elsewhere, pid 7",
        "[brackets] are no markup",
        "2 min, at ",
    ):
        assert words_there in text


def test_of_buckets_the_free_space_is_not_known(tmp_path):
    one = shown_run(tmp_path) | {"disk_free_bytes": None}
    text = printed(table([one | {"name": name} for name in "ab"], 100), 100)
    assert "2 runs: 2 running" in text
    assert "disk free" not in text


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_of_several_fits_the_terminal(tmp_path, width):
    long = "a_rather_long_name_of_an_experiment_nobody_would_want_to_type_again"
    names = [f"{long}/seed_{seed}" for seed in range(3)]
    one = shown_run(tmp_path)
    several = [one | {"name": name} for name in names]
    several[1] |= {"state": "crashed", "attention": ["it ended"], "notes": ["note"]}
    text = printed(table(several, width), width)
    rows = [line for line in text.splitlines() if "running" in line or "✖" in line]
    assert [line.split()[0][-7:] for line in rows[:3]] == [n[-7:] for n in names]
    # nothing but names gives way
    assert [line.count("…") for line in rows[:3]] == [1, 1, 1]
    for words_there in ("● running", "✖ crashed", "45 %", "2 min", "0 s ago", "↓"):
        assert words_there in text
    assert f"{names[1]}: it ended" in " ".join(text.split())
    assert "3 runs: 2 running, 1 crashed" in text
    assert ("TPU v5e" in text) == (width == 120)


def test_the_page_of_an_empty_run_says_no_more_than_is_known(tmp_path):
    text = printed(page(seen(write_run(tmp_path / "run", config={}))))
    assert "· new" in text
    assert "0 of ? steps" in text
    for absent in ("speed", "ETA", "bits/dim", "machine", "sessions", "None"):
        assert absent not in text


def test_an_evaluated_run_shows_its_results(tmp_path):
    results = {
        "steps": 1000,
        "in_distribution": "fashion_mnist",
        "bits_per_dim": {"fashion_mnist": 2.913, "mnist": 1.9},
        "auroc": {"mnist": 0.085},
    }
    workdir = write_run(
        tmp_path / "run", events=DONE, metrics=records(1000), results=results
    )
    text = printed(page(seen(workdir)))
    assert "✔ evaluated" in text
    assert "2.913 bits/dim" in text
    assert "mnist 0.085" in text


def test_what_files_say_is_shown_and_not_obeyed(tmp_path):
    said = "[/b]\x1b[2J"
    one = shown_run(tmp_path)
    one |= {"name": said, "workdir": said, "device": said, "why": said, "notes": [said]}
    one |= {"metric": one["metric"] | {"name": said}, "attention": [said]}
    for text in (printed(page(one), 120), printed(table([one, one], 120), 120)):
        assert r"[/b]\x1b[2J" in text
        assert "\x1b" not in text
