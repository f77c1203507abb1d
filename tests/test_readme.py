"""README.md: its commands, the files it names, and the numbers it quotes."""

import json
import re
from urllib.parse import unquote

import pytest

from tests.helpers.experiment_runs import ROOT

README = (ROOT / "README.md").read_text()
DEMO = (
    "python3 -m venv .venv && .venv/bin/pip install -e . && "
    ".venv/bin/python -m experiments demo"
)
TEST = re.compile(
    r"python3 -m venv \.venv && \.venv/bin/pip install -e '\.\[test\]' && "
    r"\.venv/bin/(python -m )?pytest\b"
)


def numbers_of(value) -> list[float]:
    """Every number in a JSON value."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [n for child in value for n in numbers_of(child)]
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return [value] if number else []


def areas_of(results: dict) -> list[float]:
    """AUROC of every flow and OOD set, and their intervals."""
    runs = [results, *results.get("flows", {}).values(), *results.get("rows", [])]
    keys = ("auroc", "auroc_ci95", "auroc_mean", "auroc_std")
    return [n for run in runs for key in keys for n in numbers_of(run.get(key, {}))]


def marked_tables(text: str) -> list[tuple[str, list[list[str]]]]:
    """`(results file, rows of cells)` of tables after `<!-- results/....json -->`."""
    tables = []
    for marker in re.finditer(r"<!--\s*(results/\S+?\.json)\s*-->", text):
        rows = []
        for line in text[marker.end() :].lstrip().splitlines():
            if not line.startswith("|"):
                break
            rows.append([cell.strip() for cell in line.strip().strip("|").split("|")])
        tables.append((marker[1], rows))
    return tables


def check_table(rows: list[list[str]], results: dict) -> list[str]:
    """AUROCs quoted in a table, each one found among those of `results`."""
    header = [cell.lower() for cell in rows[0]]
    columns = [i for i, cell in enumerate(header) if "auroc" in cell]
    assert columns, f"no AUROC column in {header}"
    known = {f"{value:.3f}" for value in areas_of(results)}
    quoted = []
    for row in rows[2:]:
        for column in columns:
            quoted += re.findall(r"\b[01]\.\d+", row[column])
    assert quoted, "the AUROC column quotes no number"
    assert [q for q in quoted if q not in known] == []
    return quoted


def test_the_two_commands_are_there():
    assert DEMO in README.splitlines()
    commands = [line for line in README.splitlines() if TEST.match(line)]
    assert len(commands) == 1, "one command that installs .[test] and runs pytest"


def test_every_file_it_names_exists():
    named = set(re.findall(r"\bresults/[\w./-]+\.(?:json|png|html|csv)", README))
    named |= set(re.findall(r"\bexperiments/configs/\w+\.py", README))
    named |= {f"experiments/configs/{n}" for n in re.findall(r"`(\w+_\w+\.py)", README)}
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", README)
    named |= {unquote(link) for link in links if "://" not in link}
    assert any(name.startswith("experiments/configs/") for name in named)
    assert sorted(name for name in named if not (ROOT / name).is_file()) == []


def test_no_placeholder_is_left():
    assert re.findall(r"@@\w*|TODO|FIXME|XXX", README) == []


def test_quoted_areas_are_those_of_the_results():
    tables = marked_tables(README)
    assert "results/demo.json" in {file for file, _ in tables}
    for file, rows in tables:
        results = json.loads((ROOT / file).read_text())
        quoted = check_table(rows, results)
        if file == "results/demo.json":
            # each flow of the demo is shown
            for run in results["flows"].values():
                assert f"{run['auroc']['mnist']:.3f}" in quoted


RESULTS = {
    "auroc": {"mnist": 0.0514},
    "auroc_ci95": {"mnist": [0.0449, 0.0586]},
    "bits_per_dim": {"mnist": 1.234},
    "flows": {"a": {"auroc": {"mnist": 0.6501}, "auroc_ci95": {"mnist": [0.6, 0.7]}}},
}
TABLE = """text 0.999
<!-- results/made_up.json -->

| flow | bits/dim | AUROC [95% CI] |
|---|---:|---:|
| a | 9.999 | **0.051** [0.045, 0.059] |
| b | 1.0 | 0.650 [0.600, 0.700] |

after 0.998
"""


def test_the_check_of_tables_reads_the_right_cells():
    ((file, rows),) = marked_tables(TABLE)
    assert file == "results/made_up.json"
    assert check_table(rows, RESULTS) == [
        "0.051",
        "0.045",
        "0.059",
        "0.650",
        "0.600",
        "0.700",
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        TABLE.replace("0.051", "0.052"),
        # another number of the results is not an AUROC
        TABLE.replace("0.650", "1.234"),
        TABLE.replace("0.051", "0.51"),
        TABLE.replace("AUROC", "area"),
    ],
)
def test_the_check_of_tables_finds_a_wrong_number(wrong):
    ((_, rows),) = marked_tables(wrong)
    with pytest.raises(AssertionError):
        check_table(rows, RESULTS)
