"""A masked autoregressive flow on FashionMNIST.

    python -m experiments train --config=experiments/configs/fashion_mnist_maf.py:cpu \
        --workdir=runs/fashion_mnist_maf

Papamakarios et al. 2017, whose flows of images have 5 layers of 1,024 units: 12,055,200
parameters. Without a variant it needs both sets prepared for TFDS, or IDX files:
`--config.data.source=idx --config.data.path=DIR`; it has not been run at that length.
`:cpu` is the same flow, for 1,000 steps on the embedded sample; `:smoke`, a minute.
Such a flow learns clothing by heart: hold images back (`--config.data.validation`).
"""

from experiments.configs.shared import modern

MODEL = {
    "name": "maf",
    "layers": 5,
    # of the network of each layer; at least as many as an image has values
    "hidden": (1024,),
    # in turn: "raster", "reversed", "columns"
    "orders": ("raster", "reversed"),
    # or "spline", with `bins` and `bound`
    "transform": "affine",
    "max_log_scale": 3.0,
    "bins": 8,
    "bound": 5.0,
    # of the inverse: "jacobi" or "sequential"
    "solver": "jacobi",
}


def get_config(variant: str = ""):
    smoke = {"layers": 2, "hidden": (784,)}
    return modern.gray(variant, MODEL, cpu={"layers": 5}, smoke=smoke)
