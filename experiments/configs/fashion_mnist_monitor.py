"""A monitor in two layers: outfits of FashionMNIST, items of other sets or exchanged.

    python -m experiments monitor \
        --config=experiments/configs/fashion_mnist_monitor.py:cpu --workdir=runs/monitor

On the embedded images; `:cpu` is the same as no variant. `:smoke` runs through in half
a minute. docs/monitor.md has what was published and what is measured.
"""

from experiments.configs.shared.systems import system_config


def get_config(variant: str = ""):
    settings = {
        # classifiers, each with a monitor of its own; the k-th has seed + k
        "networks": 3,
        # of the classifier, by Adadelta on batches of 64
        "epochs": 5,
        # not 0: this many steps instead
        "steps": 0,
        # training images, the last, that train nothing: calibration scenes are of them
        "held_back": 4000,
        # items of every scene
        "per_scene": 6,
        # scenes that the context is learned from, that calibrate, and that are tested
        "train": 2000,
        "calibrate": 500,
        "test": 500,
        # false alarms an item that are promised at most
        "alpha": 0.05,
        # of the joint density: principal components, and parts of the explanation
        "inputs": 64,
        "explanation_grid": 7,
        # its flow
        "couplings": 8,
        "width": 128,
        "flow_steps": 600,
        "context_steps": 200,
        # of the test items, as outliers
        "corrupted": ("fog", "gaussian_noise", "gaussian_blur"),
        "severity": 3,
    }
    ood = ("mnist:test", "emoji:things")
    config = system_config(
        "fashion_mnist:train", "fashion_mnist:test", ood, "scenes", settings
    )
    # emoji are in colour
    config.data.update(image_size=28, channels=1)
    if variant == "smoke":
        config.data.update(limit_train=1200, limit_test=400, image_size=14)
        config.scenes.update(networks=1, steps=20, held_back=400, train=60)
        config.scenes.update(calibrate=60, test=60, couplings=2, width=8)
        config.scenes.update(flow_steps=25, context_steps=25, corrupted=("fog",))
        # as many components as logits: densities of as many numbers share programs
        config.scenes.update(inputs=10, explanation_grid=2)
    elif variant not in ("", "cpu"):
        raise ValueError(f"unknown variant {variant!r}; known: cpu, smoke")
    return config.lock()
