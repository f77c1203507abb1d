"""A small figure of each family, and the text that is on one."""

import numpy as np

from flowjax_ood import figures

RNG = np.random.default_rng(0)
ID, OOD = "FashionMNIST", "MNIST"
IMAGES = RNG.integers(0, 256, (7, 8, 8, 1), dtype=np.uint8)
MAP = RNG.normal(size=(8, 8, 1))


def normal(mean, count=400):
    return np.random.default_rng(count).normal(mean, 0.3, count)


def histograms(**kwargs):
    panels = {"baseline": {ID: normal(4.0), OOD: normal(3.0, 300)}}
    auroc = {"baseline": {OOD: (0.04, 0.03, 0.05)}}
    return figures.likelihood_histograms(panels, id_name=ID, auroc=auroc, **kwargs)


def roc():
    rate = np.linspace(0, 1, 20)
    return figures.roc_curves({"baseline": {OOD: (rate, rate**3, 0.25)}})


def split():
    terms = {ID: (normal(-900.0), normal(3000.0)), OOD: (normal(-1100), normal(3500))}
    return figures.split_likelihood({"baseline": terms}, id_name=ID, dims=784)


def latents():
    rows = [(ID, True, IMAGES[0], {"z": MAP}), (OOD, False, IMAGES[1], {"z": MAP})]
    return figures.latent_panels(rows)


def coupling(correlation=None):
    hidden = np.where(np.arange(8)[:, None, None] < 4, np.nan, MAP)
    names = ("input", "s", "-t", "target")
    panels = {"image": IMAGES[0]} | dict.fromkeys(names, hidden)
    rows = [(ID, True, panels), (OOD, False, panels)]
    return figures.coupling_panels(rows, correlation=correlation)


def training():
    seen = np.arange(1, 501) * 64
    return figures.training_curves(
        {"a": (seen, 3 + 900 / seen), "b": (seen, 4 + 0 * seen)}
    )


ALL = {
    "histograms": histograms,
    "roc": roc,
    "grid": lambda: figures.sample_grid(IMAGES, "Samples", columns=4),
    "comparison": lambda: figures.sample_comparison(
        {"data": IMAGES, "baseline, T = 0.7": IMAGES / 255}, title="Samples"
    ),
    "latents": latents,
    "coupling": coupling,
    "training": training,
    "split": split,
}


def texts(figure):
    from matplotlib.text import Text

    return [t.get_text() for t in figure.findobj(Text) if t.get_text()]
