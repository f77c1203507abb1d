"""The comparison as Markdown: one table per task, one row per library."""

from experiments.core.text import MISSING, markdown_table

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
)


def markdown(content: dict) -> str:
    """All tables, with what they were measured on."""
    shape, machine = content["shape"], content["machine"]
    parts = [
        f"{shape['couplings']} couplings on {shape['dim']} values, MLPs of "
        f"{shape['layers']} x {shape['width']}, batch {shape['batch']}, float32; "
        f"{machine['processor']}, {machine['cores']} cores. Median of "
        f"{content['rounds']} rounds in turn, (min-max). Ratio above 1: ours is faster."
    ]
    for task in dict.fromkeys(row["task"] for row in content["rows"]):
        rows = [_cells(row) for row in content["rows"] if row["task"] == task]
        parts.append(f"### {task}\n\n{markdown_table(COLUMNS, rows, 2)}")
    return "\n\n".join(parts)


def _cells(row: dict) -> list[str]:
    name = row["library"]
    if row["status"] != "measured":
        return [name, row["status"], *[""] * (len(COLUMNS) - 2)]
    version = next(iter(row["versions"].values()))
    cells = [f"{name} {version}", row["how"], f"{row['parameters']:,}"]
    for mode in ("train", "log_prob"):
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
