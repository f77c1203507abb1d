"""Volumes of clothing from five views: reconstructed, certified, and adapted.

    python -m experiments reconstruct \
        --config=experiments/configs/fashion_mnist_light_field.py:cpu \
        --workdir=runs/light_field

Of the embedded images. `:cpu`, the same, is the committed result; `:smoke` runs through
in seconds.
"""

from experiments.configs.shared.systems import system_config


def get_config(variant: str = ""):
    config = system_config(
        "fashion_mnist:train",
        "fashion_mnist:test",
        ("mnist:test",),
        "light_field",
        {
            # a volume is so many images, a measurement so many views of it, with noise
            # of that standard deviation
            "planes": 4,
            "views": 5,
            "noise": 0.02,
            # disparities of the other optics, in those of training
            "other_scale": 1.5,
            # of the flow: levels of the wavelet, couplings of a level, st-networks, and
            # the first kernel of what is computed from the views alone: with it they
            # reach six pixels, as far as the views move a plane
            "levels": 2,
            "couplings": 4,
            "width": 32,
            "layers": 2,
            "kernel": 9,
            # of a level's training; the weight is that of the squared error
            "steps": 1000,
            "batch_size": 16,
            "learning_rate": 3e-3,
            "weight": 0.41,
            "train_volumes": 600,
            "calibrate_volumes": 400,
            "test_volumes": 400,
            # frames before the optics change and after, and the wealth that rings
            "stream_before": 200,
            "stream_after": 300,
            "alarm": 100.0,
            # what is gathered after the alarm, to train by and to calibrate by
            "adapt_pairs": 50,
            "adapt_steps": 200,
            "recalibrate_pairs": 100,
        },
    )
    if variant == "smoke":
        config.data.update(limit_train=400, limit_test=100, image_size=8)
        config.light_field.update(
            couplings=1, width=4, layers=1, kernel=3, steps=4, train_volumes=24
        )
        config.light_field.update(
            calibrate_volumes=40, test_volumes=40, stream_before=20, stream_after=40
        )
        config.light_field.update(adapt_pairs=16, adapt_steps=4, recalibrate_pairs=20)
    elif variant not in ("", "cpu"):
        raise ValueError(f"unknown variant {variant!r}; known: cpu, smoke")
    return config
