"""The paper's Glow recipe, and others, on top of images.py.

Not an experiment itself. Sources: the paper's appendix C and its code.
"""

from ml_collections import ConfigDict

from experiments.configs.shared import images


def glow(train: str, test: str, ood: tuple[str, ...]) -> ConfigDict:
    """The paper's FashionMNIST Glow recipe; experiments change what differs."""
    config = images.real_nvp(train, test, ood)
    shared: tuple[str, ...] = ("scales", "max_log_scale", "stack", "remat")
    shared += ("reversible", "precision", "convolution")
    with config.unlocked():
        config.model = ConfigDict(
            {key: config.model[key] for key in shared}
            | {
                "name": "glow",
                # of ActNorm, 1x1 convolution and coupling, at each scale
                "steps": 16,
                # "first_half" of the channels changes in every step, or a mask by name
                "mask": "first_half",
                # "highway" with `layers`, or "glow_convnet"
                "st_net": "highway",
                "width": 200,
                "layers": 3,
                # the matrix itself ("dense", as the original), or its factors ("plu")
                "conv1x1": "dense",
            }
        )
    config.lock()
    # Glow's L2 is on every parameter, and its gradients are clipped as one
    config.optimizer.update(name="rmsprop", scales_apart=False)
    config.train.num_epochs = 152
    return config


def gray(name: str, ood: str, variant: str) -> ConfigDict:
    """The recipe for images of 28 x 28, and its variants."""
    config = glow(f"{name}:train", f"{name}:test", (f"{ood}:test",))
    config = images.variant(config, variant, **VARIANTS)
    if variant in ("smoke", "stable_smoke", "cpu"):
        config.data.source = "embedded"
    return config


def color(
    name: str,
    ood: tuple[str, ...],
    variant: str,
    test: str = "test",
    train: str = "train",
) -> ConfigDict:
    """The recipe for colour images of 32 x 32, and its variants.

    `test`: the split that is held out. `train`: the one to train on.
    """
    config = glow(f"{name}:{train}", f"{name}:{test}", ood)
    config.model.update(scales=3, steps=8, width=400)
    config.optimizer.learning_rate = 1e-5
    config.train.num_epochs = 162
    # half as much again of arithmetic an image as the grey flow
    return images.color_variant(config, variant, cpu_steps=300, **VARIANTS)


def stable(config: ConfigDict) -> ConfigDict:
    """The same flow, trained without what makes the paper's recipe blow up.

    Adam corrects its first averages, warm-up keeps the first steps small, and cosine
    decay and averaged parameters the last ones. fashion_mnist_glow.py says why.
    """
    config.optimizer.update(
        name="adam",
        learning_rate=5e-4,
        schedule="cosine",
        warmup_steps=2000,
        l2=0.0,
        ema_decay=0.999,
    )
    config.train.batch_size = 64
    return config


def cpu(config: ConfigDict) -> ConfigDict:
    """A variant that trains to a meaningful result in about five minutes on two cores.

    The stable recipe with a larger rate, on 8 steps a scale and small st-networks.
    """
    config = images.cpu(stable(config), steps=8, width=24, layers=1)
    config.train.num_steps = 500
    return config


def smoke(config: ConfigDict) -> ConfigDict:
    """A variant that goes through every line in a minute on two CPU cores."""
    return images.smoke(config, steps=2, width=4, layers=1)


VARIANTS = {
    "smoke": smoke,
    "cpu": cpu,
    "stable": stable,
    "stable_smoke": lambda config: smoke(stable(config)),
}
