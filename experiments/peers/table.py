"""The comparison as Markdown: one table per task, one row per library."""

from experiments.peers.tasks import FLOWS
from flowjax_ood.interface.text import MISSING, markdown_table

COLUMNS = (
    "library",
    "way",
    "parameters",
    "train, examples/s",
    "ours / theirs",
    "first step, s",
    "log p, examples/s",
    "ours / theirs",
    "first call, s",
    "samples/s",
    "ours / theirs",
    "first call, s",
)


def markdown(content: dict) -> str:
    """All tables, with what they were measured on."""
    shape, machine = content["shape"], content["machine"]
    parts = [
        f"{shape['couplings']} couplings or autoregressive maps on {shape['dim']} "
        f"values, MLPs of {shape['layers']} x {shape['width']}, batch "
        f"{shape['batch']}, float32; {machine['processor']}, {machine['cores']} "
        f"cores. Median of {content['rounds']} rounds in turn, (min-max). Ratio above "
        "1: ours is faster."
    ]
    for task in dict.fromkeys(row["task"] for row in content["rows"]):
        rows = [_cells(row) for row in content["rows"] if row["task"] == task]
        parts.append(f"### {task}\n\n{markdown_table(COLUMNS, rows, 2)}")
    return "\n\n".join(parts)


def detectors_markdown(content: dict) -> str:
    """One table, a row for each detector and other library."""
    shape, machine = content["shape"], content["machine"]
    head = (
        f"{shape['rows']:,} features of {shape['dim']} values, {shape['classes']} "
        f"classes, {shape['scored']:,} scored, float32; {machine['processor']}, "
        f"{machine['cores']} cores. Median of {content['rounds']} rounds in turn, "
        "(min-max). Ratio above 1: ours is faster. Agreement: Spearman's correlation "
        "of both libraries' scores."
    )
    lines = []
    for task in dict.fromkeys(row["task"] for row in content["rows"]):
        ours, *others = (row for row in content["rows"] if row["task"] == task)
        for other in others:
            lines.append([task, *_pair(ours, other, shape)])
    return f"{head}\n\n{markdown_table(DETECTOR_COLUMNS, lines, 1)}"


DETECTOR_COLUMNS = (
    *("detector", "fit, ours, s", "theirs, s", "theirs / ours"),
    *("score, ours, ms / 1,000", "theirs", "theirs / ours", "agreement"),
)


def _pair(ours: dict, other: dict, shape: dict) -> list[str]:
    if lost := [row for row in (ours, other) if row["status"] != "measured"]:
        words = f"{lost[0]['library']}: {lost[0]['status']}"
        return [words, *[""] * (len(DETECTOR_COLUMNS) - 2)]
    cells = []
    for mode, count, form in (("fit", shape["rows"], ".3f"), ("score", 1e6, ".2f")):
        for row in (ours, other):
            cells.append(f"{count / row[mode]['examples_per_second']:{form}}")
        # a time: theirs over ours
        cells.append(_spread(other[mode], "ours_over_this", ".2f"))
    return [*cells, f"{other['score']['rank_correlation']:.4f}"]


def _cells(row: dict) -> list[str]:
    name = row["library"]
    if row["status"] != "measured":
        return [name, row["status"], *[""] * (len(COLUMNS) - 2)]
    version = next(iter(row["versions"].values()))
    cells = [f"{name} {version}", row["how"], f"{row['parameters']:,}"]
    for mode in FLOWS.modes:
        cells.append(_spread(row[mode], "examples_per_second", ",.0f"))
        cells.append(_spread(row[mode], "ours_over_this", ".2f"))
        cells.append(f"{row[mode]['first_call_seconds']:.1f}")
    return cells


def _spread(measured: dict, key: str, form: str) -> str:
    """`median (min-max)` of a number, if it was measured."""
    if key not in measured:
        return MISSING
    middle, low, high = (
        f"{measured[key + end]:{form}}" for end in ("", "_min", "_max")
    )
    return f"{middle} ({low}-{high})"
