"""The flow of `python -m experiments demo`, small enough for two CPU cores.

Also an ordinary config: `train --config=experiments/configs/demo.py ...`, a minute on
two CPU cores. `get_config("")` is a checkerboard flow; ":bottleneck" changes its
biases alone. `:smoke` and `:smoke_bottleneck` run through in seconds.
"""

from experiments.configs.shared import images


def get_config(variant: str = ""):
    config = images.real_nvp(
        "fashion_mnist:train", "fashion_mnist:test", ("mnist:test",)
    )
    config.data.source = "embedded"
    images.cpu(config)
    # 2,000 of the 10,000 images are left to fit and calibrate scores by
    config.data.limit_train = 8000
    config.train.num_steps = 150
    return images.variant(
        config,
        variant,
        bottleneck=bottleneck,
        smoke_bottleneck=lambda c: images.smoke(bottleneck(c)),
    )


def bottleneck(config):
    """Cycle-mask, and st-networks that pass everything through 10 numbers."""
    config.model.update(
        scales=1, couplings=8, mask="cycle", st_net="resnet_ae", latent_dim=10, blocks=2
    )
    return config
