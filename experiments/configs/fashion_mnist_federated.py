"""Clients that know three classes of clothing each: outliers of unseen classes.

    python -m experiments federated \
        --config=experiments/configs/fashion_mnist_federated.py:cpu --workdir=DIR

FOSTER and its baselines: ten clients share a LeNet but for their heads; images are the
embedded sample. `:cpu` has fewer and shorter rounds than the default. `:smoke` runs
through, and its numbers mean nothing.
"""

from experiments.configs.shared.systems import system_config


def get_config(variant: str = ""):
    config = system_config(
        "fashion_mnist:train",
        "fashion_mnist:test",
        ("mnist:test", "emoji:things"),
        "clients",
        {
            # clients, and classes that each of them has
            "count": 10,
            "classes": 3,
            # federations in all: seed, seed + 1, ...
            "seeds": 3,
            # after each, the server averages
            "rounds": 20,
            # the first round, from 0, with outliers; earlier ones are shared by rows
            "begin": 5,
            # of each client in a round: 16 batches of 64 are about its 1,000 images
            "steps": 16,
            "batch_size": 64,
            "learning_rate": 0.05,
            # of the outlier term, and which: uniform or energy
            "weight": 0.1,
            "kind": "uniform",
            # Adam steps of the generator in a round, and the rate
            "generator_steps": 50,
            "generator_rate": 1e-3,
            # draws from a Gaussian, of which the rarest is kept
            "draws": 1000,
        },
    )
    # emoji are larger, and in colour
    config.data.image_size, config.data.channels = 28, 1
    if variant == "cpu":
        config.clients.update({"rounds": 12, "begin": 6, "steps": 10})
    elif variant == "smoke":
        config.data.update({"limit_train": 400, "limit_test": 120, "image_size": 10})
        small = {"count": 4, "seeds": 2, "rounds": 2, "begin": 1, "steps": 2}
        config.clients.update(
            small | {"batch_size": 16, "generator_steps": 3, "draws": 100}
        )
    elif variant:
        raise ValueError(f"unknown variant {variant!r}; known: cpu, smoke")
    return config
