"""Masks and bottlenecks on CelebA against SVHN and CIFAR-10: the paper's section 7.

    python -m experiments ablate --config=experiments/configs/celeba_ablation.py \
        --workdir=runs/celeba_ablation

The paper's colour recipe, three seeds of each row, as in fashion_mnist_ablation.py;
a run of a row takes 0.5 EFLOP (one scale) to 1 EFLOP (three: 14 hours at a sustained 20
TFLOP/s). The autoencoder st-network takes two scales at most on 32x32, so that here the
bottleneck is that of `resnet_ae` alone. `:smoke` runs through on fake images.
"""

from experiments.configs.shared import images


def get_config(variant: str = ""):
    config = images.color_real_nvp("celeba", ("svhn_cropped:test", "cifar10:test"), "")
    single = {"model.scales": (1,), "model.couplings": (8,)}
    masks = {"model.mask": ("checkerboard", "horizontal", "cycle")}
    grids = (
        single | masks,
        {"model.scales": (3,)},
        {"model.st_net": ("resnet_ae",), "model.latent_dim": (100, 50, 10)},
    )
    config = images.ablation(config, grids)
    if variant == "smoke":
        config.data.source = "synthetic"
        config.ablate.seeds = (0,)
        config.ablate.grids = (
            {"model.mask": ("cycle",)},
            {"model.st_net": ("resnet_ae",), "model.latent_dim": (4,)},
        )
        config.model.update(scales=1, couplings=4)
    return images.variant(config, variant)
