"""Masks and bottlenecks on FashionMNIST against MNIST: the paper's section 7.

    python -m experiments ablate \
        --config=experiments/configs/fashion_mnist_ablation.py --workdir=runs/ablation

The paper's FashionMNIST recipe, three seeds of each row: eight couplings at full
resolution with each mask, and the multi-scale RealNVP with its st-network narrowed to
100, 50 and 10 numbers in both of the ways of the paper's code. Which of them, which
widths and how long the paper trained is not published. Ten rows of about 0.1 EFLOP: on
GPUs, start the command on each with the same --workdir, and they share the runs. Not
run at full size yet.

`:cpu` has eight couplings in all rows, st-networks of width 8 that see 5 pixels around
each position (or everything, through a bottleneck), 12,800 images a run of
FashionMNIST's 60,000, 2,000 of each set scored: `--config.data.path=DIR` with the IDX
files, and `--config.data.ood=mnist:test` where they are MNIST's standard ones. 27 runs,
75 minutes on two busy cores. AUROC goes from 0.080 (checkerboard) to 0.737 (cycle,
100); docs/paper.md, section 2, has the table (results/ablation_cpu.json).

`:smoke` runs through in a minute.
"""

from experiments.configs.shared import images


def get_config(variant: str = ""):
    config = images.real_nvp(
        "fashion_mnist:train", "fashion_mnist:test", ("mnist:test",)
    )
    single = {"model.scales": (1,), "model.couplings": (8,)}
    masks = {"model.mask": ("checkerboard", "horizontal", "cycle")}
    widths = {
        "model.st_net": ("resnet_ae", "autoencoder"),
        "model.latent_dim": (100, 50, 10),
    }
    grids: tuple[dict, ...] = (single | masks, {}, widths)
    config = images.variant(images.ablation(config, grids), variant, cpu=cpu)
    if variant == "smoke":
        config.data.source = "embedded"
        config.ablate.seeds = (0, 1)
        config.data.image_size = 8
        config.ablate.grids = (
            {"model.mask": ("cycle",)},
            {"model.st_net": ("resnet_ae",), "model.latent_dim": (2,)},
        )
        config.model.update(scales=1, couplings=4)
    return config


def cpu(config):
    """Eight couplings in all rows, small st-networks, batch norm as in the paper."""
    images.cpu(config, width=8, blocks=2, zero_init=True, scales=1, couplings=8)
    config.data.update(source="idx", limit_test=2000, ood=("mnist:train10k",))
    config.train.update(batch_size=32, num_steps=400, checkpoint_every=400)
    config.train.keep_checkpoints = 1
    config.eval.update(recompute_batches=50, samples=0)
    config.ablate.grids = (
        {"model.mask": ("checkerboard", "horizontal", "cycle")},
        {
            "model.mask": ("checkerboard", "cycle"),
            "model.st_net": ("resnet_ae",),
            "model.latent_dim": (100, 30, 10),
        },
    )
    return config
