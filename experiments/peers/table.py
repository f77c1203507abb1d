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
        m = row[mode]
        low, high = m["examples_per_second_min"], m["examples_per_second_max"]
        cells.append(f"{m['examples_per_second']:,.0f} ({low:,.0f}-{high:,.0f})")
        cells.append(_ratio(m))
        cells.append(f"{m['first_call_seconds']:.1f}")
    return cells


def _ratio(measured: dict) -> str:
    if "ours_over_this" not in measured:
        return MISSING
    low, high = measured["ours_over_this_min"], measured["ours_over_this_max"]
    return f"{measured['ours_over_this']:.2f} ({low:.2f}-{high:.2f})"
