"""`status`: what people see of a run, or of several."""

import pytest

from experiments.core import text as words
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


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "?"),
        (0.4, "0 s"),
        (99, "99 s"),
        (100, "2 min"),
        (3569, "59 min"),
        (3571, "1 h 00 min"),
        (8000, "2 h 13 min"),
        (57_600, "16 h"),
        (367_200, "4 d 6 h"),
        (1_000_000, "12 d"),
    ],
)
def test_durations(seconds, text):
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1110, "1.1 kB"),
        (43e6, "43 MB"),
        (9.99e11, "999 GB"),
    ],
)
def test_sizes(count, text):
    assert words.size(count) == text


def test_percentages_are_never_more_than_done():
    fractions = (None, 0.0, 0.004, 0.999, 1.0)
    assert [words.percent(f) for f in fractions] == ["", "0 %", "<1 %", "99 %", "100 %"]


def test_sparklines_show_the_course():
    assert words.sparkline([1.0]) == ""
    assert words.sparkline([2.0, 2.0, 2.0]) == "▁▁▁"
    line = words.sparkline([float(v) for v in range(8)])
    assert line == "".join(sorted(line))
    assert (line[0], line[-1]) == ("▁", "█")
    # one value far above the others does not flatten them
    course = words.sparkline([1000.0, 4.0, 3.0, 2.0, 1.0])
    assert course[0] == "█"
    assert len(set(course[1:])) >= 3
