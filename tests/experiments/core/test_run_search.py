"""Runs are found at a directory and below; what `report` wrote is none."""

from experiments.core.run_search import is_report, runs_below, search


def test_runs_are_found_below_but_not_inside_of_runs(tmp_path):
    for run in ("a", "b/runs/c", "b/d"):
        (tmp_path / run / "checkpoints" / "config.json").mkdir(parents=True)
        (tmp_path / run / "config.json").write_text("{}")
    names = [str(run.relative_to(tmp_path)) for run in search(tmp_path)]
    assert names == ["a", "b/d", "b/runs/c"]
    assert [run.name for run in runs_below(tmp_path)] == ["a", "d", "c"]
    assert runs_below(tmp_path / "absent") == []


def test_a_report_is_no_run(tmp_path):
    (tmp_path / "report.html").write_text("")
    assert is_report(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("{}")
    # such as the demo's
    assert not is_report(tmp_path)
    assert not is_report(tmp_path / "run")
