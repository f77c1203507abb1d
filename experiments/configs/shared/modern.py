"""The recipe of flows that came after Glow, on images of clothing.

Not an experiment itself. What they share is the training: AdamW with warm-up, cosine
decay and averaged parameters, without the paper's L2. The model of each stands in its
own config.
"""

from ml_collections import ConfigDict

from experiments.configs.shared import images


def gray(
    variant: str, model: dict, *, cpu: dict, smoke: dict, **optimizer
) -> ConfigDict:
    """The recipe for a `model` of images of 28 x 28, and its variants.

    `cpu` and `smoke`: what these variants change in the model. `optimizer`: what its
    full size needs in place of the recipe.
    """
    config = images.real_nvp(
        "fashion_mnist:train", "fashion_mnist:test", ("mnist:test",)
    )
    with config.unlocked():
        # attention and masked layers are sums of many numbers: TF32 loses too much
        config.model = ConfigDict({"precision": "float32"} | model)
    config.lock()
    config.optimizer.update(
        {
            "learning_rate": 1e-3,
            "schedule": "cosine",
            "warmup_steps": 1000,
            "clip_norm": 1.0,
            "l2": 0.0,
            "weight_decay": 1e-5,
            "scales_apart": False,
            "ema_decay": 0.999,
        }
        | optimizer
    )
    config.train.update(batch_size=64, num_epochs=100)

    def on_cpu(config):
        config = images.cpu(config, **cpu)
        config.optimizer.update(warmup_steps=100, ema_decay=0.995)
        return config

    def to_smoke(config):
        return images.smoke(config, **smoke)

    config = images.variant(config, variant, cpu=on_cpu, smoke=to_smoke)
    if variant:
        config.data.source = "embedded"
    return config
