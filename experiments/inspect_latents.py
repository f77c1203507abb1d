"""Latents of `inspect`: some to look at, and how much of the images is in them."""

import numpy as np

from experiments.inspect_arguments import Options
from experiments.inspect_subject import BATCH, Mode, Subject
from flowjax_ood.analysis.latents import mean_latents
from flowjax_ood.analysis.visibility import visibility
from flowjax_ood.data.batching import padded_batches


def latent_rows(s: Subject, options: Options) -> list[tuple]:
    """Rows of `latent_figures.latent_panels`, for the images asked for."""
    return [
        (
            name,
            name == s.id_name,
            s.whole[name].images[i],
            _columns(s, name, i, options),
        )
        for name in s.whole
        for i in options.images
    ]


def _columns(s: Subject, name: str, index: int, options: Options) -> dict:
    """`{column: latent [H, W, C]}` of one image: a draw, and averages by mode.

    With batch statistics the image is in a batch of its set: itself and its neighbours.
    """
    columns: dict[str, np.ndarray] = {}
    start = min(index // s.group * s.group, len(s.whole[name]) - s.group)
    for mode_name, mode in s.modes.items():
        at = np.arange(start, start + s.group) if mode.batch else np.array([index])
        here = index - start if mode.batch else 0
        if not columns:
            columns["one draw"] = np.asarray(mode.latents(s.draw(name, at)))[here]
        what = f"\n{mode_name} statistics" if len(s.modes) > 1 else ""
        mean = _mean(s, mode, name, at, options.draws)
        columns[f"mean of {options.draws}{what}"] = mean[here]
    return columns


def visible(s: Subject, options: Options) -> dict:
    """`{"one_draw" | "mean": {mode: {set: measures}}}` of images in their latents."""
    found: dict = {"one_draw": {}, "mean": {}}
    for mode_name, mode in s.modes.items():
        for name, image_set in s.sets.items():
            count = min(options.averaged, len(image_set))
            size = min(s.group if mode.batch else BATCH, count)
            # batch statistics are those of full batches
            count -= count % size if mode.batch else 0
            pixels = image_set.images[:count] / 255.0
            for what, draws in (("one_draw", 1), ("mean", options.draws)):
                z = [
                    _mean(s, mode, name, at, draws)[mask]
                    for at, mask in padded_batches(count, size)
                ]
                measured = _measured(pixels, np.concatenate(z))
                found[what].setdefault(mode_name, {})[name] = measured
    return found


def _mean(s: Subject, mode: Mode, name: str, at: np.ndarray, draws: int) -> np.ndarray:
    """Latents of the images at `at` of a set, averaged over draws 0 ... draws - 1."""
    return mean_latents(mode.latents, (s.draw(name, at, d) for d in range(draws)))


def _measured(pixels: np.ndarray, z: np.ndarray) -> dict:
    """Measures over the images whose latents are finite, and how many these are."""
    finite = np.isfinite(z).all((1, 2, 3))
    measured = {"images": int(finite.sum())}
    if measured["images"] >= 2:
        measured |= visibility(pixels[finite], z[finite]).measures()
    return measured
