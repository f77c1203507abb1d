"""The figure and the table of `maps`."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.core.drawing import told_apart
from experiments.core.sets import Sets
from flowjax_ood import figures
from flowjax_ood.interface import text


def picture(
    found: Mapping[str, Mapping],
    sets: Sets,
    images: Sequence[int],
    count: int,
    where: Path,
):
    """Draw the images of every set beside their maps by each flow.

    `found`: `{run: {set: Maps}}`, of the first `count` images of each set. What is
    typical of an OOD set comes after its images.
    """
    id_name, rows, notes = sets.test.name, [], []
    shown = told_apart(sets.scored, id_name, where)
    for name, image_set in shown.items():
        pictures = sets.pictures(image_set.events[[*images]])
        for k, image in enumerate(pictures):
            maps = {run: of[name].shown[k] for run, of in found.items()}
            rows.append((name, name == id_name, image, maps))
            bits = {run: of[name].bits_per_dim[k] for run, of in found.items()}
            notes.append({run: _bits(value) for run, value in bits.items()})
        if name != id_name:
            mean = sets.pictures(image_set.events[:count]).mean(0)
            mean = mean.astype(pictures.dtype)
            maps = {run: of[name].typical for run, of in found.items()}
            rows.append((name, False, mean, maps))
            bits = {run: of[name].median_bits_per_dim for run, of in found.items()}
            of_runs = {run: _bits(value) for run, value in bits.items()}
            notes.append({"image": "mean image"} | of_runs)
    return figures.likelihood_map_panels(
        rows,
        notes=notes,
        title="Where flows find images likelier than the median test image",
        caption="Bits of log p(x) at each pixel, less those of the median of test "
        f"images of {id_name} at that pixel: red is likelier. Below each map, bits/dim "
        "of the image. The last row of an OOD set is its mean image, the median of "
        "its maps, pixel by pixel, and the median of its bits/dim.",
    )


def _bits(value: float) -> str:
    return f"{value:.2f} bits/dim"


def print_table(content: dict) -> None:
    """Print what is typical of every set, by every flow."""
    rows: list[tuple | None] = []
    for run, of in content["runs"].items():
        for name, maps in of.items():
            keys = "median_bits_per_dim", "gained_bits_per_dim", "lost_bits_per_dim"
            rows.append((run, name, *(text.decimals(maps[key], 2) for key in keys)))
        rows.append(None)
    text.print_table(
        ("flow", "set", "median", "gained", "lost"),
        rows,
        title="bits/dim: the median of a set, and of its median map, what pixels gain "
        "and lose to the median test image",
    )
