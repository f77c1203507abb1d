"""The figure and the table of `samples`."""

import numpy as np

from experiments.core.sets import Sets
from flowjax_ood import figures
from flowjax_ood.interface import text

COLUMNS = 4  # of a group


def picture(
    samples: dict[str, dict[float, np.ndarray]],
    content: dict[str, dict],
    sets: Sets,
    measured: int,
):
    """Draw held-out images, then one row per run, one column group per temperature.

    `samples`: `{run: {temperature: images}}`; `content`: `runs` of samples.json, its
    numbers of `measured` samples.
    """
    rows, notes = {}, {}
    for name, groups in samples.items():
        label = row_label(name, content[name])
        fidelity = content[name]["temperatures"]
        rows[label] = {f"T = {t:g}": images for t, images in groups.items()}
        notes[label] = {f"T = {t:g}": note(fidelity[f"{t:g}"]) for t in groups}
    return figures.sample_groups(
        rows,
        reference=(
            f"held-out images\n{sets.test.name}",
            sets.pictures(sets.test.events),
        ),
        notes=notes,
        title="What flows draw, and how well they tell other data apart",
        caption="The same noise everywhere, times the temperature T. Below each group, "
        f"over {measured} samples, relative to held-out images (1: as they are): d, "
        "distance to the nearest of them; r, roughness (total variation); s, spread "
        "(distance between pairs). AUROC below 0.5: the flow finds the other set "
        "likelier.",
        columns=COLUMNS,
    )


def row_label(name: str, run: dict) -> str:
    """A run's name, bits/dim of its own data, and AUROC of at most three OOD sets."""
    bits = run["bits_per_dim"][run["in_distribution"]]
    lines = [name, f"{text.decimals(bits)} bits/dim"]
    ood = list(run["auroc"].items())[:3]
    return "\n".join([*lines, *(f"AUROC {other} {area:.3f}" for other, area in ood)])


def note(fidelity: dict) -> str:
    """The three ratios of a group, and how many samples were not finite."""
    if fidelity["distance"] is None:
        return "not finite"
    ratios = "d {distance:.2f}   r {roughness:.2f}   s {spread:.2f}".format(**fidelity)
    lost = fidelity["non_finite"]
    return ratios + (f"   {lost} lost" if lost else "")


def print_table(content: dict) -> None:
    """Print fidelity of every run and temperature."""
    rows: list[tuple | None] = []
    for name, run in content.items():
        for temperature, fidelity in run["temperatures"].items():
            ratios = [fidelity[key] for key in ("distance", "roughness", "spread")]
            shown = [text.decimals(r, 2, missing=text.MISSING) for r in ratios]
            rows.append((name, temperature, *shown, str(fidelity["non_finite"])))
        rows.append(None)
    text.print_table(
        ("flow", "T", "distance", "roughness", "spread", "not finite"),
        rows,
        title="samples, relative to held-out images (1: as they are)",
    )
