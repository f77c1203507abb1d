"""Three couplings with horizontal masks on FashionMNIST: the co-adaptation experiment.

    python -m experiments train \
        --config=experiments/configs/fashion_mnist_horizontal.py \
        --workdir=runs/fashion_mnist_horizontal
    python -m experiments inspect --workdir=runs/fashion_mnist_horizontal

The paper's single-scale flow of section 6: coupling 1 sees the top half of the image,
coupling 2 the bottom half that coupling 1 has rewritten, coupling 3 the top half again.
`inspect` asks whether coupling 2 reads a code that coupling 1 wrote there
(flowjax_ood/analysis/coadaptation.py). `--config.model.couplings=8` is the paper's
deeper one. No training recipe is published for them; this is that of the FashionMNIST
RealNVP. Needs both sets prepared for TFDS, or IDX files:
`--config.data.source=idx --config.data.path=DIR`. 1,428,504 parameters, 82 epochs. It
has not been run at full size yet.

`:cpu` is the same stack with st-networks of 16 channels and four residual blocks, which
see nine rows beyond a pixel: 61,266 parameters, 1,000 steps of 32 images of the
embedded sample, 3.5 minutes on two cores. Bits/dim of clothing 6.81 and of digits 6.49,
AUROC 0.210 [0.195, 0.225]; coupling 2 reads content and no code (docs/paper.md, section
5, results/inspect_horizontal_cpu.json). `:smoke` runs through in a minute.
"""

from experiments.configs.shared import images


def get_config(variant: str = ""):
    config = images.real_nvp(
        "fashion_mnist:train", "fashion_mnist:test", ("mnist:test",)
    )
    config.model.update(scales=1, couplings=3, mask="horizontal")
    if variant in ("smoke", "cpu"):
        config.data.source = "embedded"
    return images.variant(config, variant, cpu=cpu)


def cpu(config):
    """`images.cpu` with st-networks that see far across the seam, on fewer images."""
    config = images.cpu(config)
    config.model.update(blocks=4)
    config.train.update(batch_size=32, num_steps=1000, log_every=50)
    return config
