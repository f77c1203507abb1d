"""Numbers, times, names and tables as the commands write them."""

import pytest

from flowjax_ood.interface import text


@pytest.mark.parametrize(
    ("seconds", "shown"),
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
def test_durations(seconds, shown):
    assert text.duration(seconds) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1110, "1.1 kB"),
        (43e6, "43 MB"),
        (9.99e11, "999 GB"),
    ],
)
def test_sizes(count, shown):
    assert text.size(count) == shown


def test_percentages_are_never_more_than_done():
    fractions = (None, 0.0, 0.004, 0.999, 1.0)
    assert [text.percent(f) for f in fractions] == ["", "0 %", "<1 %", "99 %", "100 %"]


def test_sparklines_show_the_course():
    assert text.sparkline([1.0]) == ""
    assert text.sparkline([2.0, 2.0, 2.0]) == "▁▁▁"
    line = text.sparkline([float(v) for v in range(8)])
    assert line == "".join(sorted(line))
    assert (line[0], line[-1]) == ("▁", "█")
    # one value far above the others does not flatten them
    course = text.sparkline([1000.0, 4.0, 3.0, 2.0, 1.0])
    assert course[0] == "█"
    assert len(set(course[1:])) >= 3


def test_numbers_have_three_digits():
    assert text.number(None) == "-"
    found = [text.number(v) for v in (123456.7, 123.4, 12.34, 1.234, 0.01234)]
    assert found == ["123,457", "123", "12.3", "1.23", "0.0123"]


def test_what_is_missing_is_said():
    assert text.number_range(None, None) == text.share(None) == "-"
    assert text.decimals(None) == text.plus_minus(None) == "not finite"
    assert text.decimals(None, 2, text.MISSING) == "-"
    assert text.number_range(1234.5, 2000) == "1,234-2,000"
    assert text.share(0.1234) == "12.3%"


def test_a_deviation_follows_its_mean():
    assert text.plus_minus(1.23456) == "1.235"
    assert text.plus_minus(1234.5, 0.25, digits=1) == "1,234.5 ± 0.2"


def test_runs_go_by_the_shortest_ends_that_differ(tmp_path):
    paths = [tmp_path / "a" / "seed_0", tmp_path / "b" / "seed_0"]
    assert list(text.run_names(paths).values()) == ["a/seed_0", "b/seed_0"]
    assert list(text.run_names(paths[:1]).values()) == ["seed_0"]
    assert text.run_name(tmp_path / "a" / "..") == tmp_path.name


def test_a_markdown_table_has_numbers_on_the_right():
    table = text.markdown_table(("name", "value"), [("a|b", "1")])
    assert table == "| name | value |\n| --- | ---: |\n| a\\|b | 1 |"


def test_a_printed_table_is_as_wide_as_it_needs(capsys):
    headers = ("name", *(f"column {k}" for k in range(12)))
    rows = [("[red]a", *"123456789012"), None, ("b", *"123456789012")]
    text.print_table(headers, rows, title="all [0, 1)", width=200)
    shown = capsys.readouterr().out
    assert all(part in shown for part in (*headers, "[red]a", "all [0, 1)"))


NAME = "a\x1b[2J\u202e<b>|[/b]"


def test_names_are_shown_and_not_obeyed(capsys):
    """ESC, a turn of direction, HTML and markup in a name stay letters."""
    table = text.markdown_table((NAME,), [(NAME,)], "l").splitlines()
    assert table[0] == table[2] == r"| a\\x1b[2J\\u202e&lt;b&gt;\|[/b] |"
    text.print_table((NAME,), [(NAME,)], title=NAME, width=60)
    assert capsys.readouterr().out.count(r"a\x1b[2J\u202e<b>|[/b]") == 3


@pytest.mark.parametrize(("columns", "width"), [("0", 80), ("1", 80), ("132", 132)])
def test_a_table_is_printed_however_narrow_the_terminal(
    monkeypatch, capsys, columns, width
):
    monkeypatch.setenv("COLUMNS", columns)
    assert text.terminal_width() == width
    text.print_table(["flow", "AUROC"], [["RealNVP", "0.123"]])
    assert "RealNVP" in capsys.readouterr().out
